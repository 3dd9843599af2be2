//! Topics of the conformance suite of CEL (cel-spec), and Kubernetes' libraries.

use serde_json::{Value as Json, json};

use super::{run, run_with};

/// Each of these is true.
fn hold(expressions: &[&str]) {
    let failed: Vec<String> = expressions
        .iter()
        .filter_map(|source| match run(source) {
            Ok(Json::Bool(true)) => None,
            other => Some(format!("{source} gives {other:?}")),
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Each of these fails with that error.
fn fail(expressions: &[(&str, &str)]) {
    let failed: Vec<String> = expressions
        .iter()
        .filter_map(|(source, error)| match run(source) {
            Err(found) if found == *error => None,
            other => Some(format!("{source} gives {other:?}")),
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn literals_and_arithmetic() {
    hold(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 / 2 == 3 && 7 % 2 == 1 && -7 / 2 == -3 && -7 % 2 == -1",
        "1u + 2u == 3u",
        "1.5 + 1.5 == 3.0",
        "0x1F == 31 && 0xFu == 15u",
        "1e3 == 1000.0 && .5 == 0.5",
        "-9223372036854775808 < 0",
        "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab'",
        "[1] + [2] == [1, 2]",
        r#"'\u00e9' == 'é' && '\x41' == 'A' && '\101' == 'A' && "\n" == '''
'''"#,
        r"r'\n' == '\\n' && br'\x' == b'\\x'",
        "b'\\xff'.size() == 1 && size('é') == 1 && size(b'é') == 2",
        "!false && !!true && -(-1) == 1 && --1 == 1",
        "true ? true : false",
        "dyn(1) == 1.0 && dyn(1u) == 1 && dyn(2u) == 2.0 && dyn(1) != 1.5",
        "1 < 1.5 && 2u > 1.5 && 1 < 2u",
        "null == null && {'a': 1}.a == 1",
        "{1: 'a', 2: 'b'}[dyn(2u)] == 'b'",
        "[1, 2, 3][1] == 2 && [1, 2][dyn(1u)] == 2",
        "1 in [1, 2] && 'a' in {'a': 1} && !(3 in [1, 2])",
        "[[1, 2], [3]] == [[1, 2], [3]] && {'a': [1]} == {'a': [1]}",
    ]);
    fail(&[
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("[1][3] == 1", "index out of bounds: 3"),
        ("{'a': 1}['b'] == 1", "no such key: b"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("dyn(1) + dyn('a') == 1", "no such overload"),
    ]);
}

#[test]
fn logic_absorbs_errors() {
    hold(&[
        "true || 1 / 0 == 1",
        "1 / 0 == 1 || true",
        "!(false && 1 / 0 == 1)",
        "!(1 / 0 == 1 && false)",
        "[1, 2, 0].exists(x, 2 / x == 1)",
        "!([0, 1].all(x, 1 / x == 2))",
    ]);
    fail(&[("1 / 0 == 1 || false", "division by zero"), ("[0, 1].all(x, 1 / x == 1)", "division by zero")]);
}

#[test]
fn macros() {
    hold(&[
        "[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].exists_one(x, x == 2)",
        "![1, 1].exists_one(x, x == 1) && [].all(x, x == 1)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6] && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "{'a': 1, 'b': 2}.all(k, k < 'c') && {'a': 1}.map(k, k) == ['a']",
        "has({'a': 1}.a) && !has({'a': 1}.b)",
        "[1, 2].map(x, [x].map(y, x + y)) == [[2], [4]]",
        "[1, 2].all(i, v, v == i + 1) && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "[1, 2].transformList(i, v, i + v) == [1, 3] && [1, 2].transformList(i, v, i > 0, v) == [2]",
        "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1}",
        "[3, 1, 2].sortBy(x, -x) == [3, 2, 1] && [{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n == 1",
        "lists.range(1000).map(x, x * 2).size() == 1000",
    ]);
}

#[test]
fn conversions_and_types() {
    hold(&[
        "int('5') == 5 && int(5.9) == 5 && int(-5.9) == -5 && int(3u) == 3 && uint('7') == 7u && double('1.5') == 1.5",
        "string(1.0) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a'",
        "string(duration('90m')) == '5400s' && string(timestamp('2020-01-01T00:00:00Z')) == '2020-01-01T00:00:00Z'",
        "type(1) == int && type('a') == string && type([1]) == list && type({'a': 1}) == map && type(null) == null_type",
        "type(int) == type && type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp",
        "bool('true') && !bool('false')",
        "string(1e6) == '1e+06' && string(123456.5) == '123456.5' && string(0.00001) == '1e-05' && string(0.0) == '0'",
        "bytes('é').size() == 2",
    ]);
    fail(&[
        ("int('x') == 1", "type conversion error from 'string' to 'int'"),
        ("timestamp(string(1)) == timestamp(1)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("int(1e30) == 1", "integer overflow"),
        ("uint(-1) == 1u", "unsigned integer overflow"),
    ]);
}

#[test]
fn times_and_durations() {
    hold(&[
        "timestamp('2020-05-01T10:20:30.5Z').getFullYear() == 2020",
        "timestamp('2020-05-01T10:20:30.5Z').getMonth() == 4 && timestamp('2020-05-01T10:20:30Z').getDate() == 1",
        "timestamp('2020-05-01T10:20:30Z').getDayOfWeek() == 5 && timestamp('2020-01-01T00:00:00Z').getDayOfYear() == 0",
        "timestamp('2020-05-01T10:20:30Z').getHours('+02:00') == 12 && timestamp('2020-05-01T00:20:30Z').getHours('-01:30') == 22",
        "timestamp('2020-05-01T10:20:30.250Z').getMilliseconds() == 250",
        "timestamp('2020-07-01T10:20:30Z').getHours('America/New_York') == 6",
        "timestamp('2020-01-01T10:20:30Z').getHours('America/New_York') == 5",
        "duration('1h30m').getMinutes() == 90 && duration('1.5s').getMilliseconds() == 1500 && duration('-1h') < duration('0s')",
        "timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')",
        "timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')",
        "timestamp('2020-01-01T01:00:00+01:00') == timestamp('2020-01-01T00:00:00Z')",
    ]);
}

#[test]
fn optional_values() {
    hold(&[
        "{'a': 1}.?a.orValue(2) == 1 && {'a': 1}.?b.orValue(2) == 2",
        "{'a': {'b': 1}}.?a.b.orValue(0) == 1 && {'a': {'b': 1}}.?x.b.orValue(0) == 0",
        "[1, 2][?1].value() == 2 && [1][?5].orValue(7) == 7",
        "optional.of(1).hasValue() && !optional.none().hasValue() && !optional.ofNonZeroValue(0).hasValue()",
        "optional.none().or(optional.of(2)).value() == 2",
        "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, x).hasValue()",
        "optional.of(2).optFlatMap(x, optional.of(x + 1)).value() == 3",
        "[?optional.of(1), ?optional.none()] == [1] && {?'a': optional.none(), 'b': 1} == {'b': 1}",
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()",
        "[optional.of(1), optional.none()].unwrapOpt() == [1]",
    ]);
    fail(&[("optional.none().value() == 1", "optional.none() dereference")]);
}

#[test]
fn texts() {
    hold(&[
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.matches('^h.*o$')",
        "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == ''",
        "'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'hello'.indexOf('j') == -1",
        "'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'Ab'.lowerAscii() == 'ab' && 'Ab'.upperAscii() == 'AB'",
        "'hello hello'.replace('he', 'we') == 'wello wello' && 'hello hello'.replace('he', 'we', 1) == 'wello hello'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'tacöcat'.substring(3, 4) == 'ö'",
        "'  a '.trim() == 'a' && ['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
        "'%s is %d and %.2f, %x %%'.format([dyn('a'), 1, 1.5, 255]) == 'a is 1 and 1.50, ff %'",
        "'%s'.format([[dyn(1), 'a']]) == '[1, a]' && '%b %o %X'.format([5, 8, 255]) == '101 10 FF'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
    ]);
    fail(&[
        ("'abc'.substring(5) == ''", "index out of range: 5"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("'abc'.charAt(9) == ''", "index out of range: 9"),
    ]);
}

#[test]
fn lists_and_sets() {
    hold(&[
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1, 2].sum() == 3 && [1.5, 2.5].sum() == 4.0",
        "[duration('1m'), duration('1s')].sum() == duration('61s')",
        "[1, 3, 2].max() == 3 && ['b', 'a'].min() == 'a' && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2",
        "[1, 2, 1].distinct() == [1, 2] && [[1], [2, 3]].flatten() == [1, 2, 3] && lists.range(3) == [0, 1, 2]",
        "[1, 2].reverse() == [2, 1] && [3, 1, 2].sort() == [1, 2, 3] && [1, 2, 3].slice(1, 3) == [2, 3]",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 2, 2], [2, 1]) && sets.intersects([1], [1, 2])",
    ]);
    fail(&[("[1].slice(0, 2) == [1]", "cannot slice(0, 2), list is length 1")]);
}

#[test]
fn kubernetes_libraries() {
    hold(&[
        "isURL('https://example.com:80/a?b=c') && !isURL('x') && url('https://user@example.com:80/a').getHost() == 'example.com:80'",
        "url('https://example.com:80/a b').getEscapedPath() == '/a%20b' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://example.com/?k=a&k=b').getQuery() == {'k': ['a', 'b']} && url('/path').getScheme() == ''",
        "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('500m').asApproximateFloat() == 0.5",
        "quantity('2').add(quantity('1k')).compareTo(quantity('1002')) == 0 && quantity('50k').sub(20000) == quantity('30k')",
        "isQuantity('1Mi') && !isQuantity('x') && quantity('-1').sign() == -1 && quantity('2k').asInteger() == 2000",
        "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && isIP('1.2.3.4') && !isIP('x') && ip.isCanonical('::1')",
        "cidr('192.168.0.0/24').containsIP('192.168.0.7') && !cidr('192.168.0.0/24').containsIP(ip('10.0.0.1'))",
        "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && cidr('192.168.1.7/24').masked() == cidr('192.168.1.0/24')",
        "cidr('10.0.0.0/8').prefixLength() == 8 && string(cidr('10.0.0.0/8').ip()) == '10.0.0.0' && isCIDR('::/0')",
        "cidr('::/0').containsIP('::1') && cidr('0.0.0.0/0').containsIP('255.255.255.255')",
        "!format.dns1123Label().validate('ok').hasValue() && format.dns1123Label().validate('No').hasValue()",
        "format.named('uuid').value().validate('x').value() == ['does not match the UUID format'] && !format.named('x').hasValue()",
        "isSemver('1.2.3') && !isSemver('v1') && semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
        "semver('v1.02', true).minor() == 2 && isSemver('v1', true)",
    ]);
}

#[test]
fn regular_expressions_are_re2s() {
    hold(&[
        r"!'٣'.matches('^\\d$') && '3'.matches('^\\d$') && !'é'.matches('^\\w$') && 'a-b'.matches('^[\\w-]+$')",
        r"'{x}'.matches('^{.*}$') && 'aaa'.matches('^a{3}$') && 'a<b'.matches('a\\<b') && 'a_b'.matches('a\\_b')",
        r"'a.b'.matches('^\\Qa.b\\E$') && !'axb'.matches('^\\Qa.b\\E$') && '['.matches('^[[]$') && ']'.matches('^[]]$')",
        r"'&'.matches('^[a&&b]$') && 'x'.matches('^[[:alpha:]]$') && ','.matches('^[+--]$') && 'foo bar'.matches('\\bbar')",
        r"'example.com'.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    ]);
}

#[test]
fn objects_without_a_schema() {
    let object = json!({"a": {"b": [1, 2]}, "n": null, "x-y": 1, "f": 1.5});
    for source in [
        "object.a.b[1] == 2",
        "object.n == null",
        "has(object.n)",
        "!has(object.zzz)",
        "object.f == 1.5",
        "object['x-y'] == 1",
        "object.`x-y` == 1",
        "object.a.b.all(x, x > 0)",
        "object.a == {'b': [1, 2]}",
    ] {
        assert_eq!(run_with(source, &object), Ok(json!(true)), "{source}");
    }
    assert_eq!(run_with("object.zzz.b == 1", &object), Err("no such key: zzz".to_owned()));
    assert_eq!(run_with("object.n.b == 1", &object), Err("no such key: b".to_owned()));
}
