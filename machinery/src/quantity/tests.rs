use proptest::prelude::*;
use serde_json::json;

use super::*;

fn check(text: &str, expect: &str) {
    let got = Quantity::parse(text).map_or_else(|error| format!("{error:?}"), |it| it.to_string());
    assert_eq!(got, expect, "{text}");
}

#[test]
fn quantities_are_written_in_canonical_form() {
    for (text, expect) in [
        ("0", "0"),
        ("0Gi", "0"),
        ("1", "1"),
        ("+5", "5"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("5.", "5"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("0.1", "100m"),
        ("1000", "1k"),
        ("1500", "1500"),
        ("120000", "120k"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000Ki", "1000Ki"),
        ("0.1Gi", "107374182400m"),
        ("-1.5Gi", "-1536Mi"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e4", "120e3"),
        ("1e-3", "1e-3"),
        ("1E", "1E"),
        ("100n", "100n"),
        ("1u", "1u"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("9223372036854775807", "9223372036854775807"),
        ("9999999999999999999999", "9223372036854775807"),
        ("1e99999999", "9223372036854775807"),
        ("1e-99999999", "1e-9"),
        ("100Ei", "9223372036854775807"),
    ] {
        check(text, expect);
    }
}

#[test]
fn what_is_no_quantity_gets_upstreams_words() {
    for text in ["", "lots", "1Q", "1 Gi", "1..5", "1Gib", " 1", "1_000", "1e3m"] {
        assert_eq!(Quantity::parse(text), Err(ParseQuantityError::Format), "{text:?}");
    }
    for text in ["1KK", "1ki", "1e+", "--1"] {
        assert_eq!(Quantity::parse(text), Err(ParseQuantityError::Suffix), "{text:?}");
    }
    assert_eq!(Quantity::parse("Ki"), Err(ParseQuantityError::Numeric));
    assert_eq!(Quantity::parse("."), Err(ParseQuantityError::Numeric));
}

#[test]
fn json_numbers_are_quantities() {
    assert_eq!(Quantity::from_value(&json!(2)).map(|it| it.to_string()), Ok("2".to_owned()));
    assert_eq!(Quantity::from_value(&json!(0.25)).map(|it| it.to_string()), Ok("250m".to_owned()));
    assert_eq!(Quantity::from_value(&json!(" 1Gi ")).map(|it| it.to_string()), Ok("1Gi".to_owned()));
    assert_eq!(Quantity::from_value(&json!(true)), Err(ParseQuantityError::Format));
}

#[test]
fn values_round_away_from_zero() {
    let check = |text: &str, value: i64, milli: i64| {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
    };
    check("1500m", 2, 1500);
    check("-1500m", -2, -1500);
    check("100n", 1, 1);
    check("1Gi", 1 << 30, (1 << 30) * 1000);
    check("9E", 9_000_000_000_000_000_000, i64::MAX);
}

#[test]
fn sums_keep_the_format_of_the_left_side() {
    let parse = |text| Quantity::parse(text).unwrap();
    assert_eq!((parse("1Gi") + parse("1G")).to_string(), "2073741824");
    assert_eq!((Quantity::ZERO + parse("1Gi")).to_string(), "1Gi");
    assert_eq!((parse("1") - parse("250m")).to_string(), "750m");
    assert_eq!((parse("9E") + parse("9E")).value(), i64::MAX);
    assert!(parse("1Ki") > parse("1k"));
    assert_eq!(parse("1"), parse("1000m"));
}

proptest! {
    #[test]
    fn the_canonical_form_means_the_same_and_is_stable(
        number in "[+-]?[0-9]{1,6}(\\.[0-9]{0,12})?",
        suffix in prop::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2"]),
    ) {
        let quantity = Quantity::parse(&format!("{number}{suffix}")).unwrap();
        let text = quantity.to_string();
        let again = Quantity::parse(&text).unwrap();
        prop_assert_eq!(again, quantity);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        let _ = Quantity::parse(&text);
    }

    #[test]
    fn milli_round_trips(milli in any::<i32>()) {
        prop_assert_eq!(Quantity::from_milli(i64::from(milli)).milli_value(), i64::from(milli));
    }
}

#[test]
fn what_passes_for_canonical_is_given_back() {
    let cases = [
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("+1", "+1"),
        ("+5Gi", "+5Gi"),
        ("01", "01"),
        ("1.500", "1.500"),
        ("0.5", "500m"),
        ("2.0", "2"),
        ("1000", "1k"),
        ("1e3", "1e3"),
        ("1e4", "10e3"),
        ("1024Ki", "1Mi"),
        ("12Ki", "12Ki"),
        ("1.5Gi", "1536Mi"),
        ("100u", "100u"),
        ("00", "0"),
        ("1111111111111111111", "1111111111111111111"),
    ];
    for (text, expect) in cases {
        assert_eq!(Quantity::rewrite(text).unwrap(), expect, "{text}");
    }
}
