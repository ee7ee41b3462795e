//! The pull reader. Its caller asks for what it expects next and gets it or a [`Fault`]; what it does not know it
//! skips. Skipping checks the grammar and needs no recursion, so that nesting is bounded by the text alone.

use std::borrow::Cow;

use super::number;

/// Why a text cannot be read as what was expected. Boxed: it is in the result of whatever reads, and made at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(Box<Cause>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    /// The innermost field that is known by name; empty outside of any.
    field: &'static str,
    what: &'static str,
    at: usize,
}

impl Fault {
    /// Names the field, unless a field inside it has been named.
    pub(crate) fn within(mut self, field: &'static str) -> Self {
        if self.0.field.is_empty() {
            self.0.field = field;
        }
        self
    }

    /// For people: the field, the fault, and its place in the text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let Cause { field, what, at } = *self.0;
        if !field.is_empty() {
            text.push('`');
            text.push_str(field);
            text.push_str("`: ");
        }
        text.push_str(what);
        text.push_str(" at byte ");
        super::integer(&mut text, i64::try_from(at).unwrap_or(i64::MAX));
        text
    }
}

/// A number, exactly as far as it goes: an integer is one that is written like one and fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    /// Below 0.
    Negative(i64),
    /// With a fraction or an exponent, beyond 64 bits, or `-0`.
    Real(f64),
}

/// Reads a whole text; what follows the value is a fault.
pub(crate) fn parse<'a, T>(
    text: &'a str,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut reader = Reader::new(text);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    #[cold]
    pub(crate) fn fault(&self, what: &'static str) -> Fault {
        Fault(Box::new(Cause { field: "", what, at: self.at }))
    }

    /// Nothing but white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.peek().is_some() { Err(self.fault("something follows")) } else { Ok(()) }
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte();
            if !matches!(byte, Some(b' ' | b'\n' | b'\t' | b'\r')) {
                return byte;
            }
            self.at += 1;
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn object(&mut self) -> Result<(), Fault> {
        if self.take(b'{') { Ok(()) } else { Err(self.fault("expected an object")) }
    }

    /// The next name of the object that was entered; its value comes next. `first` is true at the first call.
    pub(crate) fn name(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, Fault> {
        if !self.goes_on(first, b'}')? {
            return Ok(None);
        }
        let name = self.string()?;
        self.colon()?;
        Ok(Some(name))
    }

    pub(crate) fn array(&mut self) -> Result<(), Fault> {
        if self.take(b'[') { Ok(()) } else { Err(self.fault("expected an array")) }
    }

    /// Whether the array that was entered has another element, which comes next. `first` is true at the first call.
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.goes_on(first, b']')
    }

    fn goes_on(&mut self, first: &mut bool, closer: u8) -> Result<bool, Fault> {
        if self.take(closer) {
            return Ok(false);
        }
        if !std::mem::take(first) && !self.take(b',') {
            return Err(self.fault("expected a comma or the end"));
        }
        Ok(true)
    }

    fn colon(&mut self) -> Result<(), Fault> {
        if self.take(b':') { Ok(()) } else { Err(self.fault("expected a colon")) }
    }

    /// All elements of an array.
    pub(crate) fn list<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.array()?;
        let (mut list, mut first) = (Vec::new(), true);
        while self.element(&mut first)? {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// The next element of a tuple.
    pub(crate) fn next(&mut self, first: &mut bool) -> Result<(), Fault> {
        if self.element(first)? { Ok(()) } else { Err(self.fault("expected another element")) }
    }

    /// The end of a tuple.
    pub(crate) fn close(&mut self) -> Result<(), Fault> {
        if self.take(b']') { Ok(()) } else { Err(self.fault("expected the end of the array")) }
    }

    /// Reads `null`, if that comes next.
    pub(crate) fn null(&mut self) -> Result<bool, Fault> {
        if self.peek() == Some(b'n') { self.word("null").map(|()| true) } else { Ok(false) }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => Err(self.fault("expected true or false")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// An integer of 64 bits with a sign.
    pub(crate) fn integer(&mut self) -> Result<i64, Fault> {
        let integer = match self.number()? {
            Number::Unsigned(number) => i64::try_from(number).ok(),
            Number::Negative(number) => Some(number),
            Number::Real(_) => None,
        };
        integer.ok_or_else(|| self.fault("expected a 64-bit integer"))
    }

    /// An integer from 0 to 2^64 - 1.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Fault> {
        match self.number()? {
            Number::Unsigned(number) => Ok(number),
            Number::Negative(_) | Number::Real(_) => {
                Err(self.fault("expected an integer that is not negative"))
            }
        }
    }

    pub(crate) fn number(&mut self) -> Result<Number, Fault> {
        self.peek();
        let start = self.at;
        let integral = self.skip_number()?;
        let text = self.since(start);
        if integral {
            if let Ok(number) = text.parse() {
                return Ok(Number::Unsigned(number));
            }
            if let Some(number) = text.parse().ok().filter(|number| *number < 0) {
                return Ok(Number::Negative(number));
            }
        }
        match number::parse(text) {
            Some(real) if real.is_finite() => Ok(Number::Real(real)),
            Some(_) | None => Err(self.fault("a number out of range")),
        }
    }

    /// True for one without a fraction and without an exponent.
    fn skip_number(&mut self) -> Result<bool, Fault> {
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut integral = true;
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            integral = false;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
            integral = false;
        }
        Ok(integral)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("expected a value")) } else { Ok(()) }
    }

    /// A string, borrowed unless it has escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.quote()?;
        let mut start = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            let end = self.plain()?;
            let piece = self.since(start);
            if end == b'"' {
                self.at += 1;
                return Ok(match unescaped {
                    None => Cow::Borrowed(piece),
                    Some(mut text) => {
                        text.push_str(piece);
                        Cow::Owned(text)
                    }
                });
            }
            let text = unescaped.get_or_insert_default();
            text.push_str(piece);
            let character = self.escape()?;
            text.push(character);
            start = self.at;
        }
    }

    pub(crate) fn owned(&mut self) -> Result<String, Fault> {
        self.string().map(Cow::into_owned)
    }

    fn quote(&mut self) -> Result<(), Fault> {
        if self.take(b'"') { Ok(()) } else { Err(self.fault("expected text")) }
    }

    /// Goes to the next quote or backslash.
    fn plain(&mut self) -> Result<u8, Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let stop = |byte: &u8| matches!(*byte, b'"' | b'\\' | ..0x20);
        let length = rest.iter().position(stop).unwrap_or(rest.len());
        self.at += length;
        match rest.get(length) {
            Some(&byte @ (b'"' | b'\\')) => Ok(byte),
            Some(_) => Err(self.fault("a control character in text")),
            None => Err(self.fault("text without an end")),
        }
    }

    /// One escape, from its backslash on.
    fn escape(&mut self) -> Result<char, Fault> {
        let character = match self.text.as_bytes().get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault("an unknown escape")),
        };
        self.at += 2;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        let mut unit = self.unit()?;
        if (0xD800..0xDC00).contains(&unit) {
            let low = self.unit()?;
            if !(0xDC00..0xE000).contains(&low) {
                return Err(self.fault("half a surrogate pair"));
            }
            unit = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
        char::from_u32(unit).ok_or_else(|| self.fault("half a surrogate pair"))
    }

    /// One `\uXXXX`.
    fn unit(&mut self) -> Result<u32, Fault> {
        let bytes = self.text.as_bytes().get(self.at..self.at + 6);
        let Some(&[b'\\', b'u', a, b, c, d]) = bytes else {
            return Err(self.fault("half an escape"));
        };
        let mut unit = 0;
        for byte in [a, b, c, d] {
            let digit = char::from(byte).to_digit(16).ok_or_else(|| self.fault("an unknown escape"))?;
            unit = unit * 16 + digit;
        }
        self.at += 6;
        Ok(unit)
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.quote()?;
        while self.plain()? == b'\\' {
            if self.text.as_bytes().get(self.at + 1) == Some(&b'u') {
                self.unit()?;
            } else {
                self.escape()?;
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Skips one value of any kind; its text, without the white space around it.
    pub(crate) fn skip(&mut self) -> Result<&'a str, Fault> {
        self.peek();
        let start = self.at;
        // The brackets that are to be closed.
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'n') => self.word("null")?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(bracket @ (b'{' | b'[')) => {
                    self.at += 1;
                    let closer = bracket + 2;
                    if !self.take(closer) {
                        open.push(closer);
                        self.skip_name(closer)?;
                        continue;
                    }
                }
                _ => {
                    self.skip_number()?;
                }
            }
            loop {
                let Some(&closer) = open.last() else { return Ok(self.since(start)) };
                if self.goes_on(&mut false, closer)? {
                    self.skip_name(closer)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// Inside an object a value has a name.
    fn skip_name(&mut self, closer: u8) -> Result<(), Fault> {
        if closer == b'}' {
            self.skip_string()?;
            self.colon()?;
        }
        Ok(())
    }
}
