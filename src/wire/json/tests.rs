//! The codec against serde_json: what one reads, writes and refuses, so does the other.

use serde_json::Value as Json;

use super::{Fault, Number, Object, Reader, number, parse};
use crate::wire::{Body, Decoded, Message};

/// Random enough, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn read(reader: &mut Reader<'_>) -> Result<Json, Fault> {
    Ok(match reader.peek() {
        Some(b'n') => reader.null().map(|_| Json::Null)?,
        Some(b't' | b'f') => reader.boolean()?.into(),
        Some(b'"') => reader.owned()?.into(),
        Some(b'[') => reader.list(read)?.into(),
        Some(b'{') => {
            reader.object()?;
            let (mut map, mut first) = (serde_json::Map::new(), true);
            while let Some(name) = reader.name(&mut first)? {
                map.insert(name.into_owned(), read(reader)?);
            }
            map.into()
        }
        _ => match reader.number()? {
            Number::Unsigned(number) => number.into(),
            Number::Negative(number) => number.into(),
            Number::Real(number) => number.into(),
        },
    })
}

fn write(out: &mut String, json: &Json) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => super::write::unsigned(out, number),
            (None, Some(number)) => super::integer(out, number),
            (None, None) => number::write(out, number.as_f64().unwrap()),
        },
        Json::String(text) => super::text(out, text),
        Json::Array(list) => super::array(out, list, write),
        Json::Object(map) => {
            let mut object = Object::new(out);
            for (name, value) in map {
                write(object.name(name), value);
            }
            object.end();
        }
    }
}

/// A document, or something close to one.
fn document(dice: &mut Dice, depth: usize) -> String {
    let space = dice.pick(&["", "", "", "", "", " ", "\n\t", "\r"]);
    let value = match dice.below(if depth == 0 { 6 } else { 9 }) {
        0 => dice.pick(&["null", "true", "false"]).to_owned(),
        1 => dice
            .pick(&[
                "0",
                "-0",
                "-1",
                "18446744073709551615",
                "18446744073709551616",
                "9223372036854775808",
                "-9223372036854775808",
                "-9223372036854775809",
                "5.0",
                "5e0",
                "-0.0",
                "1E+2",
                "1e400",
                "1e-400",
                "0e9999999999",
                "00",
                "1.",
                ".5",
                "+1",
                "-",
                "1e",
                "0x1",
                "123456789012345678901234567890e-20",
            ])
            .to_owned(),
        2 => (dice.next() as i64 >> dice.below(64)).to_string(),
        3 => real(dice),
        4 | 5 => text(dice),
        6 | 7 => {
            let parts: Vec<String> = (0..dice.below(5)).map(|_| document(dice, depth - 1)).collect();
            format!("[{}]", parts.join(","))
        }
        _ => {
            let parts: Vec<String> = (0..dice.below(5))
                .map(|_| format!("{}{space}:{}", text(dice), document(dice, depth - 1)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
    };
    format!("{space}{value}{space}")
}

fn text(dice: &mut Dice) -> String {
    let piece = [
        "a",
        "table",
        "é",
        "😀",
        "\\n",
        "\\\"",
        "\\\\",
        "\\/",
        "\\b",
        "\\f",
        "\\r",
        "\\t",
        "\\u0000",
        "\\u00e9",
        "\\uD83D\\uDE00",
        "\\ud83d",
        "\\ude00",
        "\\ud83d\\u0041",
        "\\u12",
        "\\x",
        "\u{1f}",
        "\u{7f}",
        "'",
        "\u{2028}",
    ];
    // Most are fine: else no document would be.
    let fine = &piece[..15];
    let count = dice.below(5);
    let body: String =
        (0..count).map(|_| if dice.below(40) == 0 { dice.pick(&piece) } else { dice.pick(fine) }).collect();
    format!("\"{body}\"")
}

fn real(dice: &mut Dice) -> String {
    let digits = |dice: &mut Dice, most: usize| -> String {
        (0..1 + dice.below(most)).map(|_| char::from(b'0' + dice.below(10) as u8)).collect()
    };
    let most = dice.pick(&[3, 18, 25, 900]);
    let whole = digits(dice, most);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if dice.below(2) == 0 { format!(".{}", digits(dice, most)) } else { String::new() };
    let exponent = match dice.below(4) {
        0 => String::new(),
        1 => format!("e{}", dice.below(40) as i64 - 20),
        _ => format!("E{}", dice.below(700) as i64 - 350),
    };
    format!("{}{whole}{fraction}{exponent}", dice.pick(&["", "-"]))
}

fn mutated(dice: &mut Dice, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(chars.len() + 1);
        match dice.below(4) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars.insert(at, chars[at]),
            2 => chars.truncate(at.max(1)),
            _ => chars.insert(
                at,
                dice.pick(&[
                    '"', '\\', '{', '}', '[', ']', ',', ':', '0', '9', '-', '.', 'e', ' ', 'n', '\u{0}', 'é',
                ]),
            ),
        }
    }
    chars.into_iter().collect()
}

#[test]
fn a_document_is_read_and_written_as_serde_json_does() {
    let mut dice = Dice::new(11);
    let mut good = 0;
    for _ in 0..150_000 {
        let mut given = document(&mut dice, 4);
        if dice.below(3) == 0 {
            given = mutated(&mut dice, &given);
        }
        let theirs = serde_json::from_str::<Json>(&given).ok();
        let ours = parse(&given, read).ok();
        assert_eq!(ours, theirs, "{given}");
        let raw = serde_json::from_str::<&serde_json::value::RawValue>(&given).ok();
        assert_eq!(parse(&given, Reader::skip).ok(), raw.map(serde_json::value::RawValue::get), "{given}");
        if let Some(json) = ours {
            good += 1;
            let mut out = String::new();
            write(&mut out, &json);
            assert_eq!(out, json.to_string(), "{given}");
        }
    }
    assert!(good > 50_000, "{good}");
}

#[test]
fn every_real_is_written_as_serde_json_writes_it_and_comes_back_with_its_bits() {
    let mut dice = Dice::new(12);
    let near_powers = (0..2047_u64).flat_map(|exponent| {
        let bits = exponent << 52;
        [bits.wrapping_sub(1), bits, bits + 1, bits + 2]
    });
    let small = (0..40_000_u64).map(|n| (n as f64 / 1000.0).to_bits());
    let tens = (-323..309).map(|power| format!("1e{power}").parse::<f64>().unwrap().to_bits());
    let random: Vec<u64> = (0..150_000).map(|_| dice.next()).collect();
    for bits in near_powers.chain(small).chain(tens).chain(random) {
        let real = f64::from_bits(bits);
        if !real.is_finite() {
            continue;
        }
        let mut out = String::new();
        number::write(&mut out, real);
        assert_eq!(out, serde_json::to_string(&real).unwrap(), "{bits:x}");
        assert_eq!(number::parse(&out).unwrap().to_bits(), bits, "{out}");
    }
}

#[test]
fn every_decimal_text_is_the_nearest_double() {
    let mut dice = Dice::new(13);
    for _ in 0..150_000 {
        let mut given = real(&mut dice);
        if dice.below(4) == 0 {
            // The middle between two doubles, exactly: with all its digits, and a hair beside it.
            let real = f64::from_bits(dice.next() % (2047 << 52));
            let next = f64::from_bits(real.to_bits() + 1);
            if next.is_finite() && real > 1e-200 && real < 1e200 {
                let power = (real.to_bits() >> 52) as i32 - 1076;
                let odd = 2 * (real.to_bits() & ((1 << 52) - 1) | 1 << 52) + 1;
                given = format!("{}", Exact(odd, power));
                given.push_str(dice.pick(&["", "0", "1", "00000000000000000001"]));
            }
        }
        let theirs: f64 = given.parse().unwrap();
        assert_eq!(number::parse(&given).map(f64::to_bits), Some(theirs.to_bits()), "{given}");
    }
    for given in [
        "",
        "+",
        "-",
        ".",
        "e5",
        "1e",
        "1e+",
        "1.5.5",
        "1e5.5",
        "1-1",
        "--1",
        "+-1",
        "5.",
        ".5",
        "+5",
        "-.5e-3",
        "1e99999999999999999999",
        "0.1e-99999999999999999999",
        "0e99999999999999999999",
    ] {
        assert_eq!(number::parse(given).map(f64::to_bits), given.parse().ok().map(f64::to_bits), "{given}");
    }
}

/// odd × 2^power in full decimal.
struct Exact(u64, i32);

impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut digits: Vec<u8> = self.0.to_string().bytes().rev().map(|b| b - b'0').collect();
        // Halving is × 5 / 10.
        for _ in 0..self.1.abs() {
            let mut carry = 0;
            for digit in &mut digits {
                carry += *digit * if self.1 < 0 { 5 } else { 2 };
                *digit = carry % 10;
                carry /= 10;
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        let fraction = if self.1 < 0 { self.1.unsigned_abs() as usize } else { 0 };
        while digits.len() <= fraction {
            digits.push(0);
        }
        for (index, digit) in digits.iter().enumerate().rev() {
            write!(f, "{digit}")?;
            if index == fraction {
                f.write_str(".")?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_number_of_digits_is_rounded_as_the_standard_library_rounds_it() {
    let mut dice = Dice::new(14);
    for round in 0..100_000 {
        let real = match round % 3 {
            0 => f64::from_bits(dice.next() >> 1),
            1 => (dice.next() >> 40) as f64 / 1024.0,
            _ => (dice.next() >> 12) as f64 / f64::from(1 << dice.below(30)),
        };
        if !real.is_finite() || real == 0.0 {
            continue;
        }
        let count = 1 + dice.below(17);
        let (digits, exponent) = number::digits(real, Some(count));
        let ours: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let theirs = format!("{real:.*e}", count - 1);
        let (mantissa, power) = theirs.split_once('e').unwrap();
        assert_eq!(
            (ours, exponent.to_string()),
            (mantissa.replace('.', ""), power.to_owned()),
            "{real:e} {count}"
        );
    }
}

#[test]
fn what_is_deep_or_long_costs_neither_the_stack_nor_an_age() {
    let deep = "[".repeat(2_000_000);
    assert!(parse(&deep, Reader::skip).is_err());
    let deep = format!("{deep}{}", "]".repeat(2_000_000));
    assert_eq!(parse(&deep, Reader::skip).map(str::len), Ok(4_000_000));
    let long = "9".repeat(2_000_000);
    assert_eq!(number::parse(&long), Some(f64::INFINITY));
    assert_eq!(number::parse(&format!("0.{}1e2000001", "0".repeat(2_000_000))), Some(1.0));
}

#[test]
fn a_damaged_message_is_refused_or_means_the_same_when_it_is_written_again() {
    let all: Json = serde_json::from_str(include_str!("../../../tests/vectors/relay.json")).unwrap();
    let frames: Vec<&str> =
        all["frames"].as_array().unwrap().iter().map(|frame| frame["text"].as_str().unwrap()).collect();
    let mut dice = Dice::new(15);
    let (mut read, mut bad) = (0, 0);
    for _ in 0..150_000 {
        let given = dice.pick(&frames);
        let given = mutated(&mut dice, given);
        let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&given).is_ok();
        let decoded = Message::decode(&given);
        if !is_json {
            assert!(decoded.is_err(), "{given}");
        }
        let Ok(Decoded::Message(message)) = decoded else { continue };
        read += 1;
        if let Body::Push(push) = &message.body {
            bad += push.changes.iter().filter(|row| row.is_err()).count();
        }
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(&message.encode()).is_ok(), "{given}");
        assert_eq!(Message::decode(&message.encode()), Ok(Decoded::Message(message)), "{given}");
    }
    assert!(read > 2000 && bad > 500, "{read} {bad}");
}

#[test]
fn a_fault_names_the_field_and_the_place() {
    let text = |given: &str| Message::decode(given).unwrap_err().to_string();
    assert_eq!(
        text(
            r#"{"type":"sync_ack","version":1,"siteId":"YWJjZGVmZ2hpamtsbW5vcA==","timestamp":0,"payload":{"receivedVersion":-1}}"#
        ),
        "malformed message: `receivedVersion`: a version is within 0..=2^53-1 at byte 112"
    );
    assert_eq!(text("{"), "malformed message: expected text at byte 1");
    assert_eq!(text("{}"), "malformed message: `type`: missing at byte 2");
}
