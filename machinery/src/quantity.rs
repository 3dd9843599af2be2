//! `resource.Quantity`: amounts of CPU, memory and the like, exact to a billionth.
//! Source: Kubernetes doc "Quantity"; `k8s.io/apimachinery/pkg/api/resource`.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use serde_json::Value;

/// The parts of one unit that a quantity resolves.
const NANOS: i128 = 1_000_000_000;
/// The largest quantity; larger ones are cut to it.
const MAX: i128 = i64::MAX as i128 * NANOS;
/// The most digits of a number that upstream's quick look takes in, and of one with a binary suffix, whose power counts.
const MAX_QUICK_DIGITS: usize = 18;
const MAX_QUICK_BINARY_DIGITS: usize = 15;
/// Decimal suffixes and their powers of ten.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Binary suffixes; the position (from 1) is the power of 1024.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An amount, and the family of suffixes in which it is written. Two quantities are equal if their amounts are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The family of suffixes in which a quantity is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `500m`, `2k`.
    #[default]
    DecimalSi,
    /// `512Mi`.
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// Why a text is not a quantity; the texts are upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// It has not the form of a quantity.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// Its number is not a number.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// Its suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole amount.
    pub const fn from_units(units: i64, format: Format) -> Self {
        let nanos = units as i128 * NANOS;
        Self { nanos, format }
    }

    /// An amount in thousandths, written in decimal suffixes: `from_milli(250)` is `250m`.
    pub const fn from_milli(milli: i64) -> Self {
        let nanos = milli as i128 * (NANOS / 1000);
        let format = Format::DecimalSi;
        Self { nanos, format }
    }

    /// Reads any form: `1`, `0.5`, `500m`, `1.5Gi`, `1e3`. What is finer than a billionth is rounded away from zero; what
    /// is larger than an int64 is cut to it.
    ///
    /// # Errors
    /// If the text is not a quantity.
    pub fn parse(text: &str) -> Result<Self, ParseQuantityError> {
        let parts = split(text)?;
        let (scale, format) = interpret(parts.suffix).ok_or(ParseQuantityError::Suffix)?;
        if parts.whole.is_empty() && parts.fraction.is_empty() {
            return Err(ParseQuantityError::Numeric);
        }
        let mut digits: Vec<u8> = parts.whole.bytes().chain(parts.fraction.bytes()).map(|b| b - b'0').collect();
        let mut point = parts.whole.len() as i64;
        match scale {
            Scale::Ten(power) => point += power,
            Scale::Kibi(power) => (0..power).for_each(|_| multiply_by_1024(&mut digits, &mut point)),
        }
        let nanos = nanos(&digits, point);
        let nanos = if parts.negative { -nanos } else { nanos };
        Ok(Self { nanos, format })
    }

    /// The form in which an API server gives a quantity back: its canonical form, unless the text passes for canonical
    /// by upstream's quick look at it (`+1`, `01` and `1.500` do).
    ///
    /// # Errors
    /// If the text is not a quantity.
    pub fn rewrite(text: &str) -> Result<String, ParseQuantityError> {
        let text = text.trim();
        let quantity = Self::parse(text)?;
        Ok(if passes_for_canonical(text) { text.to_owned() } else { quantity.to_string() })
    }

    /// Reads a JSON value: a text or a number.
    ///
    /// # Errors
    /// If the value is neither or is not a quantity.
    pub fn from_value(value: &Value) -> Result<Self, ParseQuantityError> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(ParseQuantityError::Format),
        }
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// The family of suffixes in which it is written.
    pub fn format(self) -> Format {
        self.format
    }

    /// The amount in units, rounded away from zero.
    pub fn value(self) -> i64 {
        self.scaled(NANOS)
    }

    /// The amount in thousandths, rounded away from zero; cut to an int64.
    pub fn milli_value(self) -> i64 {
        self.scaled(NANOS / 1000)
    }

    /// The amount in units as a floating point number, as near as that goes.
    pub fn approximate(self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    fn scaled(self, nanos: i128) -> i64 {
        let magnitude = (self.nanos.abs() + nanos - 1) / nanos;
        let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
        if self.nanos < 0 { -magnitude } else { magnitude }
    }

    fn capped(nanos: i128, format: Format) -> Self {
        let nanos = nanos.clamp(-MAX, MAX);
        Self { nanos, format }
    }

    fn write_decimal(self, f: &mut fmt::Formatter<'_>, exponent_form: bool) -> fmt::Result {
        let (mut mantissa, mut power) = (self.nanos, -9);
        while power < 18 && mantissa % 1000 == 0 {
            mantissa /= 1000;
            power += 3;
        }
        if exponent_form && power != 0 {
            return write!(f, "{mantissa}e{power}");
        }
        let suffix = DECIMAL.iter().find(|(_, of)| *of == power).map_or("", |(suffix, _)| suffix);
        write!(f, "{mantissa}{suffix}")
    }

    fn write_binary(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut mantissa, mut power) = (self.nanos / NANOS, 0);
        while power < BINARY.len() && mantissa % 1024 == 0 {
            mantissa /= 1024;
            power += 1;
        }
        let suffix = power.checked_sub(1).map_or("", |at| BINARY[at]);
        write!(f, "{mantissa}{suffix}")
    }
}

/// The canonical form: no fraction, the largest suffix that allows it.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = self.nanos.abs() >= 1024 * NANOS && self.nanos % NANOS == 0;
        match self.format {
            _ if self.nanos == 0 => f.write_str("0"),
            Format::BinarySi if binary => self.write_binary(f),
            Format::DecimalExponent => self.write_decimal(f, true),
            _ => self.write_decimal(f, false),
        }
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The sum has the format of the left side, unless that is zero.
impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self::capped(self.nanos + other.nanos, format)
    }
}

/// The difference has the format of the left side, unless that is zero.
impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn split(text: &str) -> Result<Parts<'_>, ParseQuantityError> {
    if text.is_empty() {
        return Err(ParseQuantityError::Format);
    }
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, rest) = take_digits(rest);
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), take_digits);
    // The suffix is letters, and after them an exponent.
    let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseQuantityError::Format);
    }
    Ok(Parts { negative, whole, fraction, suffix })
}

fn take_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Whether upstream's parser keeps a text that is a quantity: it looks at the digits and the power alone.
fn passes_for_canonical(text: &str) -> bool {
    let Ok(Parts { whole, fraction, suffix, .. }) = split(text) else {
        return false;
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let digits = [whole, fraction].concat();
    let Ok(number) = digits.parse::<i64>() else {
        return false;
    };
    match interpret(suffix) {
        Some((Scale::Ten(power), _)) => {
            let power = power - fraction.len() as i64;
            let short = digits.len() <= MAX_QUICK_DIGITS;
            short && power >= -9 && power % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0')
        }
        // 1024 needs about three digits.
        Some((Scale::Kibi(power), _)) => {
            fraction.is_empty() && digits.len() + 3 * power < MAX_QUICK_BINARY_DIGITS && number & 7 != 0
        }
        None => false,
    }
}

/// What a suffix multiplies with.
enum Scale {
    Ten(i64),
    Kibi(usize),
}

fn interpret(suffix: &str) -> Option<(Scale, Format)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Some((Scale::Ten(i64::from(*power)), Format::DecimalSi));
    }
    if let Some(at) = BINARY.iter().position(|known| *known == suffix) {
        return Some((Scale::Kibi(at + 1), Format::BinarySi));
    }
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((Scale::Ten(i64::from(power)), Format::DecimalExponent))
}

/// Multiplies a number of decimal digits, whose decimal point stands before the digit at `point`.
fn multiply_by_1024(digits: &mut Vec<u8>, point: &mut i64) {
    let mut carry = 0;
    for digit in digits.iter_mut().rev() {
        carry += u32::from(*digit) * 1024;
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    while carry > 0 {
        digits.insert(0, (carry % 10) as u8);
        carry /= 10;
        *point += 1;
    }
}

/// The billionths of a number of decimal digits, whose decimal point stands before the digit at `point`.
fn nanos(digits: &[u8], point: i64) -> i128 {
    let Some(first) = digits.iter().position(|digit| *digit != 0) else {
        return 0;
    };
    // Where the last digit that counts ends, and how many digits of weight are left of it.
    let end = point.saturating_add(9);
    if end.saturating_sub(first as i64) > 30 {
        return MAX;
    }
    let kept = usize::try_from(end).unwrap_or_default().min(digits.len());
    let mut nanos = digits[..kept].iter().fold(0, |sum, digit| sum * 10 + i128::from(*digit));
    for _ in digits.len() as i64..end {
        nanos *= 10;
    }
    if digits[kept..].iter().any(|digit| *digit != 0) {
        nanos += 1;
    }
    nanos.min(MAX)
}

#[cfg(test)]
mod tests;
