use http::HeaderMap;

use super::*;

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

#[test]
fn headers_say_as_whom() {
    let mut headers = map(&[
        ("impersonate-user", "jane"),
        ("impersonate-group", "a"),
        ("impersonate-group", "b"),
        ("impersonate-uid", "u"),
        ("impersonate-extra-acme.example.com%2fteam", "shop"),
        ("impersonate-extra-scopes", "x"),
        ("impersonate-extra-scopes", "y"),
        ("impersonate-extra-odd%zz", "z"),
        ("accept", "*/*"),
    ]);
    let user = headers::take(&mut headers).unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u"));
    assert_eq!(user.groups, ["a", "b"]);
    assert_eq!(user.extra["acme.example.com/team"], ["shop"]);
    assert_eq!(user.extra["scopes"], ["x", "y"]);
    assert_eq!(user.extra["odd%zz"], ["z"]);
    assert_eq!(headers.len(), 1, "they are gone");
}

#[test]
fn nothing_is_said_about_nobody() {
    assert_eq!(headers::take(&mut map(&[("accept", "*/*")])).unwrap(), None);
    assert_eq!(headers::take(&mut map(&[("impersonate-user", "")])).unwrap(), None);
    let refused = headers::take(&mut map(&[("impersonate-extra-a", "b"), ("impersonate-group", "g")])).unwrap_err();
    assert_eq!(refused.code, 400);
    assert_eq!(
        refused.message,
        "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"g\"}, \
         Extra:map[string][]string{\"a\":[]string{\"b\"}}} without impersonating a user name"
    );
}
