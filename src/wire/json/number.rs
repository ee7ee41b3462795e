//! Reals and their decimal text, exact in both directions: reading gives the nearest double (ties to even), writing
//! the shortest text that reads back the same. By plain big-number arithmetic: the tables of the fast algorithms
//! would weigh more than the rest of `wire`.

/// Digits beyond these only say whether something follows: no two doubles' middle has as many.
const DIGITS: usize = 780;

/// Reads decimal text: digits with an optional sign, point and exponent. Infinite beyond the range of a double;
/// `None` when it is no number.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    let mut digits: Vec<u8> = Vec::new();
    let (mut exponent, mut seen, mut point, mut more) = (0_i64, false, false, false);
    while let Some((&byte, tail)) = rest.split_first() {
        if byte.is_ascii_digit() {
            seen = true;
            exponent -= i64::from(point);
            if digits.len() == DIGITS {
                more |= byte != b'0';
                exponent += 1;
            } else if byte != b'0' || !digits.is_empty() {
                digits.push(byte - b'0');
            }
        } else if byte == b'.' && !point {
            point = true;
        } else {
            break;
        }
        rest = tail;
    }
    if !seen {
        return None;
    }
    if let Some((b'e' | b'E', tail)) = rest.split_first() {
        exponent = exponent.saturating_add(parse_exponent(tail)?);
    } else if !rest.is_empty() {
        return None;
    }
    if more {
        digits.push(1);
        exponent -= 1;
    }
    let magnitude = nearest(&digits, exponent);
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', tail) => (true, tail),
        (b'+', tail) => (false, tail),
        _ => (false, bytes),
    };
    let mut value = 0_i64;
    if digits.is_empty() {
        return None;
    }
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        // Far more than any text is long.
        value = (value * 10 + i64::from(byte - b'0')).min(1 << 50);
    }
    Some(if negative { -value } else { value })
}

/// The double next to `digits` × 10^`exponent`.
#[allow(clippy::cast_precision_loss)] // exact below 2^53
fn nearest(digits: &[u8], exponent: i64) -> f64 {
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    if digits.is_empty() || length.saturating_add(exponent) < -330 {
        return 0.0;
    }
    if length.saturating_add(exponent) > 310 {
        return f64::INFINITY;
    }
    let power = u32::try_from(exponent.unsigned_abs()).unwrap_or(u32::MAX);
    if length <= 15 && power <= 22 {
        // Both are exact, so that one operation rounds once.
        let mantissa = digits.iter().fold(0.0, |value, digit| value * 10.0 + f64::from(*digit));
        let scale = (0..power).fold(1.0, |scale, _| scale * 10.0);
        return if exponent < 0 { mantissa / scale } else { mantissa * scale };
    }
    let (mut over, mut under) = (Big::of(0), Big::of(1));
    for digit in digits {
        over.scale(10, u32::from(*digit));
    }
    (if exponent < 0 { &mut under } else { &mut over }).raise(10, power);
    quotient(over, under)
}

/// The double next to `over` / `under`; neither is 0.
fn quotient(mut over: Big, mut under: Big) -> f64 {
    let shift = over.bits() - under.bits();
    (if shift > 0 { &mut under } else { &mut over }).raise(2, shift.unsigned_abs());
    // Now between 1/2 and 2: 64 bits of it, and whether something is left.
    let mut bits = 0_u64;
    for _ in 0..64 {
        bits <<= 1;
        if over.subtract(&under) {
            bits |= 1;
        }
        over.scale(2, 0);
    }
    let rest = !over.is_zero();
    let low = i32::from(bits >> 63 == 0);
    bits <<= low;
    let exponent = shift - low;
    // How many of the 64 bits a double has no room for: more when it is subnormal.
    let dropped = 11 + (-1022 - exponent).max(0);
    if dropped > 64 {
        return 0.0;
    }
    let half = 1_u64 << (dropped - 1);
    let (mantissa, left) = if dropped == 64 { (0, bits) } else { (bits >> dropped, bits & (2 * half - 1)) };
    let up = left > half || left == half && (rest || mantissa & 1 == 1);
    // The top bit of the mantissa, and a carry out of it, add to the exponent.
    let raised = u64::from((exponent + 1022).max(0).unsigned_abs()) << 52;
    f64::from_bits((raised + mantissa + u64::from(up)).min(f64::INFINITY.to_bits()))
}

/// The decimal digits of a finite real that is not 0, without its sign, and the exponent of the first of them.
/// The shortest that read back the same, or as many as `count` says, rounded.
pub(crate) fn digits(real: f64, count: Option<usize>) -> (Vec<u8>, i32) {
    let bits = real.to_bits();
    let raw = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, power) = if raw == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw - 1075) };
    // The value is over / under, and the way to the middle of its neighbours up / under and down / under.
    let (mut over, mut under, mut up) = (Big::of(mantissa), Big::of(1), Big::of(1));
    over.scale(2, 0);
    under.scale(2, 0);
    if power < 0 {
        under.raise(2, power.unsigned_abs());
    } else {
        over.raise(2, power.unsigned_abs());
        up.raise(2, power.unsigned_abs());
    }
    let mut down = up.clone();
    if fraction == 0 && raw > 1 {
        // The neighbour below a power of two is half as far.
        over.scale(2, 0);
        under.scale(2, 0);
        up.scale(2, 0);
    }
    // Scaled so that the first digit is the integral part. By log10(2) from below (from above for what is below 1),
    // so that the guess is never too high.
    let magnitude = 63 - mantissa.leading_zeros().cast_signed() + power;
    let mut exponent = (magnitude * (315_652 + i32::from(magnitude < 0))) >> 20;
    if exponent < 0 {
        for big in [&mut over, &mut up, &mut down] {
            big.raise(10, exponent.unsigned_abs());
        }
    } else {
        under.raise(10, exponent.unsigned_abs());
    }
    let even = mantissa & 1 == 0;
    let mut out = Vec::new();
    // Whether the middle to the neighbour above reaches the next power of ten.
    let mut ten = under.clone();
    ten.scale(10, 0);
    let reach = match count {
        None => over.plus(&up),
        Some(_) => over.clone(),
    };
    if reach.at_least(&ten, even || count.is_some()) {
        under = ten;
        exponent += 1;
    }
    loop {
        let mut digit = 0;
        while over.subtract(&under) {
            digit += 1;
        }
        out.push(digit);
        let (low, high) = match count {
            None => (down.at_least(&over, even), over.plus(&up).at_least(&under, even)),
            Some(count) => (out.len() == count, out.len() == count),
        };
        if low || high {
            let mut twice = over.clone();
            twice.scale(2, 0);
            let nearer_up = twice.at_least(&under, digit & 1 == 1);
            if high && (!low || nearer_up) {
                exponent += i32::from(carry(&mut out));
            }
            return (out, exponent);
        }
        for big in [&mut over, &mut up, &mut down] {
            big.scale(10, 0);
        }
    }
}

/// Adds one to the last digit. True when that gave a digit more, which is then cut off: it is a zero.
fn carry(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return false;
        }
        *digit = 0;
    }
    if let Some(first) = digits.first_mut() {
        *first = 1;
    }
    true
}

/// Writes a finite real: always with a fraction or an exponent.
pub(crate) fn write(out: &mut String, real: f64) {
    if real.is_sign_negative() {
        out.push('-');
    }
    if real == 0.0 {
        return out.push_str("0.0");
    }
    let (digits, exponent) = digits(real, None);
    let mut digits = digits.iter().map(|digit| char::from(b'0' + digit));
    if (0..16).contains(&exponent) {
        for _ in 0..=exponent {
            out.push(digits.next().unwrap_or('0'));
        }
        out.push('.');
        out.push(digits.next().unwrap_or('0'));
        out.extend(digits);
    } else if (-5..0).contains(&exponent) {
        out.push_str("0.");
        for _ in exponent..-1 {
            out.push('0');
        }
        out.extend(digits);
    } else {
        out.extend(digits.next());
        if let Some(second) = digits.next() {
            out.push('.');
            out.push(second);
            out.extend(digits);
        }
        out.push_str(if exponent < 0 { "e" } else { "e+" });
        super::integer(out, exponent.into());
    }
}

/// A natural number, lowest limb first, without zero limbs at the top.
#[derive(Clone)]
struct Big(Vec<u32>);

impl Big {
    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn of(number: u64) -> Self {
        let mut big = Big(vec![number as u32, (number >> 32) as u32]);
        big.trim();
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> i32 {
        let top = self.0.last().map_or(0, |limb| limb.leading_zeros());
        i32::try_from(self.0.len() * 32).unwrap_or(i32::MAX) - top.cast_signed()
    }

    /// × `factor` + `carry`
    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn scale(&mut self, factor: u32, carry: u32) {
        let mut carry = u64::from(carry);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// × `base`^`power`
    fn raise(&mut self, base: u32, mut power: u32) {
        // As many factors at once as fit a limb, for either base.
        while power >= 9 {
            self.scale(base.pow(9), 0);
            power -= 9;
        }
        self.scale(base.pow(power), 0);
    }

    /// Takes `other` away, unless it is more.
    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn subtract(&mut self, other: &Big) -> bool {
        if !self.at_least(other, true) {
            return false;
        }
        let mut borrow = 0_i64;
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        for (limb, other) in self.0.iter_mut().zip(others) {
            borrow += i64::from(*limb) - i64::from(other);
            *limb = borrow as u32;
            borrow >>= 32;
        }
        self.trim();
        true
    }

    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn plus(&self, other: &Big) -> Big {
        let mut sum = Vec::with_capacity(self.0.len() + 1);
        let mut carry = 0_u64;
        for index in 0..self.0.len().max(other.0.len()) {
            let limb = |big: &Big| u64::from(big.0.get(index).copied().unwrap_or(0));
            carry += limb(self) + limb(other);
            sum.push(carry as u32);
            carry >>= 32;
        }
        if carry > 0 {
            sum.push(carry as u32);
        }
        Big(sum)
    }

    /// More than `other`, or `equal` to it where that counts.
    fn at_least(&self, other: &Big, equal: bool) -> bool {
        let lengths = self.0.len().cmp(&other.0.len());
        match lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => equal,
            std::cmp::Ordering::Greater => true,
        }
    }
}
