//! When two pod templates are equal, and the hash that names the ReplicaSet of one.

use serde_json::Value;

/// The label that tells the pods of one template from those of another.
pub const HASH_LABEL: &str = "pod-template-hash";

/// Characters of generated names; a hash is spelled with those of the ten digits.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two templates mean the same: the hash label does not count, absent and empty are equal, quantities are
/// compared by value.
pub fn is_equal(a: &Value, b: &Value) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// A number that is equal for equal templates, and almost surely not for others.
pub fn fingerprint(template: &Value) -> u64 {
    let bytes = canonical(template).to_string();
    bytes.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The hash of a template: the same for equal templates, another for each collision count.
///
/// The text differs from upstream's, which depends on the memory layout of one release; nothing may rely on it.
pub fn hash(template: &Value, collision_count: Option<i32>) -> String {
    encode(sum(canonical(template).to_string().as_bytes(), collision_count))
}

/// FNV-1a over the bytes and the collision count.
fn sum(bytes: &[u8], collision_count: Option<i32>) -> u32 {
    let count = collision_count.map(|count| (u64::from(count.cast_unsigned())).to_le_bytes());
    let bytes = bytes.iter().chain(count.iter().flatten());
    bytes.fold(2_166_136_261, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

fn encode(sum: u32) -> String {
    let digits = sum.to_string();
    digits.bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// The template in a form that is equal for equal templates.
fn canonical(template: &Value) -> Value {
    let mut template = template.clone();
    let labels = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut);
    if let Some(labels) = labels {
        labels.remove(HASH_LABEL);
    }
    prune(&mut template, "");
    template
}

/// Takes nulls, empty lists and empty maps away, and writes quantities in one form.
fn prune(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) if matches!(key, "limits" | "requests" | "overhead") => {
            fields.values_mut().for_each(normalize_quantity);
        }
        Value::Object(_) if matches!(key, "labels" | "annotations") => {}
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(key, value)| prune(value, key));
            fields.retain(|key, value| !is_absent(key, value));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune(item, "")),
        scalar if matches!(key, "sizeLimit" | "divisor") => normalize_quantity(scalar),
        _ => {}
    }
}

/// An empty map is as good as none, but an empty struct is not: `emptyDir: {}` says something.
fn is_absent(key: &str, value: &Value) -> bool {
    const MAPS: [&str; 9] = [
        "labels",
        "annotations",
        "nodeSelector",
        "matchLabels",
        "limits",
        "requests",
        "overhead",
        "volumeAttributes",
        "options",
    ];
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && MAPS.contains(&key),
        _ => false,
    }
}

fn normalize_quantity(value: &mut Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Some(nanos) = nanos(&text) {
        *value = Value::String(format!("{nanos}n"));
    }
}

/// A quantity in billionths; `None` if it is none, or too large to be told exactly.
fn nanos(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (binary, decimal) = scale(suffix)?;
    let exponent = decimal + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = mantissa.checked_mul(1_i128.checked_shl(binary)?)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let nanos = if exponent >= 0 { scaled.checked_mul(power)? } else { scaled.div_euclid(power) };
    Some(if negative { -nanos } else { nanos })
}

/// The power of two and the power of ten of a suffix.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i32); 10] =
        [("", 0), ("n", -9), ("u", -6), ("m", -3), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    if let Some(place) = BINARY.iter().position(|known| *known == suffix) {
        return Some((10 * (u32::try_from(place).ok()? + 1), 0));
    }
    if let Some((_, exponent)) = DECIMAL.iter().find(|(known, _)| *known == suffix) {
        return Some((0, *exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    exponent.abs().lt(&30).then_some((0, exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(a: &Value, b: &Value, equal: bool) {
        assert_eq!(is_equal(a, b), equal, "{a} {b}");
        assert_eq!(fingerprint(a) == fingerprint(b), equal, "{a} {b}");
        assert_eq!(hash(a, None) == hash(b, None), equal, "{a} {b}");
    }

    #[test]
    fn the_hash_label_does_not_count() {
        let labels = |labels: Value| json!({"metadata": {"labels": labels}, "spec": {"nodeName": "a"}});
        let both = |hash: &str| labels(json!({HASH_LABEL: hash, "something": "else"}));
        check(&both("v1"), &both("v2"), true);
        check(&labels(json!({"something": "else"})), &both("v2"), true);
        check(&labels(json!({"something": "else"})), &labels(json!({HASH_LABEL: "v2"})), false);
        check(&labels(json!({HASH_LABEL: "v1"})), &both("v1"), false);
        check(&labels(json!({HASH_LABEL: "v1"})), &labels(json!({})), true);
    }

    #[test]
    fn all_else_of_a_template_counts() {
        let template = |metadata: Value, node: &str| json!({"metadata": metadata, "spec": {"nodeName": node}});
        let annotated = |key: &str| json!({"labels": {"something": "else"}, "annotations": {key: "value"}});
        check(&template(annotated("former"), "a"), &template(annotated("former"), "a"), true);
        check(&template(annotated("former"), "a"), &template(annotated("latter"), "a"), false);
        check(&template(annotated("former"), "a"), &template(annotated("former"), "b"), false);
        check(&template(json!({"name": "former"}), "a"), &template(json!({"name": "latter"}), "a"), false);
        // A pointer to zero is not no pointer.
        check(&json!({"spec": {"terminationGracePeriodSeconds": 0}}), &json!({"spec": {}}), false);
    }

    #[test]
    fn meaning_counts_not_spelling() {
        let limits = |cpu: Value| json!({"spec": {"containers": [{"resources": {"limits": {"cpu": cpu}}}]}});
        check(&limits(json!("1")), &limits(json!("1000m")), true);
        check(&limits(json!(1)), &limits(json!("1")), true);
        check(&limits(json!("0.5")), &limits(json!("500m")), true);
        check(&limits(json!("1Ki")), &limits(json!("1024")), true);
        check(&limits(json!("1k")), &limits(json!("1e3")), true);
        check(&limits(json!("1k")), &limits(json!("1Ki")), false);
        check(&json!({"spec": {"volumes": []}}), &json!({"spec": {"volumes": null}}), true);
        check(&json!({"volumes": [{"emptyDir": {}}]}), &json!({"volumes": [{}]}), false);
        check(&json!({"spec": {"args": ["a", "b"]}}), &json!({"spec": {"args": ["b", "a"]}}), false);
        check(
            &json!({"metadata": {"annotations": {"limits": "1"}}}),
            &json!({"metadata": {"annotations": {"limits": "1000m"}}}),
            false,
        );
    }

    #[test]
    fn the_sum_and_its_spelling_are_upstreams() {
        for (input, collisions, expect_sum, expect) in [
            ("", None, 2_166_136_261, "65bb57b6b5"),
            ("", Some(0), 2_615_243_109, "6b5968754f"),
            ("", Some(1), 1_048_580_676, "548d9d4bcb"),
            ("", Some(i32::MAX), 3_630_398_273, "7b747fd6c7"),
            ("foobar", None, 3_214_735_720, "7658c79c64"),
            ("foobar", Some(1), 2_576_555_401, "69cb999845"),
            ("foobar", Some(2), 4_143_217_834, "858765cd78"),
        ] {
            assert_eq!(sum(input.as_bytes(), collisions), expect_sum, "{input} {collisions:?}");
            assert_eq!(encode(expect_sum), expect);
        }
    }

    #[test]
    fn a_thousand_images_have_a_thousand_hashes() {
        let image = |n: u32| json!({"spec": {"containers": [{"name": "c", "image": format!("app:{n}")}]}});
        let hashes: std::collections::BTreeSet<String> = (0..1000).map(|n| hash(&image(n), None)).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
