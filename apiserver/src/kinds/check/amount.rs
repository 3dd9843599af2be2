//! Quantities as the kinds compare them.

use serde_json::Value;

/// A quantity in billionths of its unit, so that sums and comparisons are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Amount(i128);

const NANO: i128 = 1_000_000_000;

impl Amount {
    /// The quantity that `value` is; zero if it is none.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::parse(text).unwrap_or_default(),
            Value::Number(number) => Self::parse(&number.to_string()).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (sign, text) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (base, exponent): (i128, i32) = match suffix {
            "" => (10, 0),
            "n" => (10, -9),
            "u" => (10, -6),
            "m" => (10, -3),
            "k" => (10, 3),
            "M" => (10, 6),
            "G" => (10, 9),
            "T" => (10, 12),
            "P" => (10, 15),
            "E" => (10, 18),
            "Ki" => (1024, 1),
            "Mi" => (1024, 2),
            "Gi" => (1024, 3),
            "Ti" => (1024, 4),
            "Pi" => (1024, 5),
            "Ei" => (1024, 6),
            other => (10, other.strip_prefix(['e', 'E'])?.parse().ok()?),
        };
        let shift = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = digits.checked_mul(NANO)?;
        let factor = base.checked_pow(exponent.unsigned_abs())?;
        let scaled = if exponent >= 0 { scaled.checked_mul(factor)? / shift } else { scaled / shift / factor };
        Some(Self(sign * scaled))
    }

    /// Whether it is less than zero.
    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Whether it is zero.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether it is a whole number of units.
    pub(crate) fn is_whole(self) -> bool {
        self.0 % NANO == 0
    }
}

impl std::ops::Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
