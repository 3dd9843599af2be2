//! `intstr.IntOrString` where it means a number or a percentage of a total: `maxSurge`, `maxUnavailable`.
//! Source: `k8s.io/apimachinery/pkg/util/intstr`.

use serde_json::Value;

/// A number, or a percentage of a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrPercent {
    /// A number.
    Int(i64),
    /// So many hundredths of the total.
    Percent(i64),
}

/// Why a value is neither a number nor a percentage; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIntOrPercentError {
    /// A text that does not end with `%`.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotAPercentage,
    /// A text whose number is none.
    #[error("invalid value for IntOrString: invalid value {0:?}: strconv.Atoi: parsing {1:?}: invalid syntax")]
    NotANumber(String, String),
    /// Neither a number nor a text.
    #[error("invalid value for IntOrString: invalid type: neither int nor percentage")]
    OtherType,
}

impl IntOrPercent {
    /// Reads the JSON form: `3` or `"25%"`.
    ///
    /// # Errors
    /// If the value is neither a whole number nor a percentage.
    pub fn from_value(value: &Value) -> Result<Self, ParseIntOrPercentError> {
        match value {
            Value::Number(number) => number.as_i64().map(Self::Int).ok_or(ParseIntOrPercentError::OtherType),
            Value::String(text) => Self::parse(text),
            _ => Err(ParseIntOrPercentError::OtherType),
        }
    }

    /// Reads a percentage: `25%`.
    ///
    /// # Errors
    /// If the text is not a percentage.
    pub fn parse(text: &str) -> Result<Self, ParseIntOrPercentError> {
        let number = text.strip_suffix('%').ok_or(ParseIntOrPercentError::NotAPercentage)?;
        let percent =
            number.parse().map_err(|_| ParseIntOrPercentError::NotANumber(text.to_owned(), number.to_owned()))?;
        Ok(Self::Percent(percent))
    }

    /// The number; a percentage of `total` is rounded up.
    pub fn scaled_up(self, total: i64) -> i64 {
        self.scaled(total, |hundredths| hundredths.div_euclid(100) + i128::from(hundredths.rem_euclid(100) > 0))
    }

    /// The number; a percentage of `total` is rounded down.
    pub fn scaled_down(self, total: i64) -> i64 {
        self.scaled(total, |hundredths| hundredths.div_euclid(100))
    }

    fn scaled(self, total: i64, round: impl Fn(i128) -> i128) -> i64 {
        match self {
            Self::Int(number) => number,
            Self::Percent(percent) => {
                let hundredths = i128::from(percent) * i128::from(total);
                let bound = i128::from(i64::MAX);
                i64::try_from(round(hundredths).clamp(-bound, bound)).expect("it was just cut to an int64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_scale_with_the_total() {
        let check = |value: Value, total: i64, up: i64, down: i64| {
            let it = IntOrPercent::from_value(&value).unwrap();
            assert_eq!((it.scaled_up(total), it.scaled_down(total)), (up, down), "{value} of {total}");
        };
        check(json!(3), 10, 3, 3);
        check(json!("25%"), 10, 3, 2);
        check(json!("25%"), 1, 1, 0);
        check(json!("25%"), 4, 1, 1);
        check(json!("100%"), 7, 7, 7);
        check(json!("0%"), 7, 0, 0);
        check(json!("9223372036854775807%"), i64::MAX, i64::MAX, i64::MAX);
    }

    #[test]
    fn other_values_get_upstreams_words() {
        let check = |value: Value, expect: &str| {
            assert_eq!(IntOrPercent::from_value(&value).unwrap_err().to_string(), expect, "{value}");
        };
        check(json!("25"), "invalid value for IntOrString: invalid type: string is not a percentage");
        check(
            json!("x%"),
            r#"invalid value for IntOrString: invalid value "x%": strconv.Atoi: parsing "x": invalid syntax"#,
        );
        check(json!(1.5), "invalid value for IntOrString: invalid type: neither int nor percentage");
    }
}
