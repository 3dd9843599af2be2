//! Who sends a request: a client certificate, a bearer token, or nobody.
//! Source: Kubernetes doc "Authenticating".

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use steersman_machinery::status::Status;

/// The group whose members may do everything.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";

/// Who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name.
    pub name: String,
    /// A stable identifier; may be empty.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else the authenticator said, by lower-case key.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user who is known, member of these groups and of `system:authenticated`.
    pub fn known(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().chain([&AUTHENTICATED]).map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// The administrator as whom in-process clients act.
    pub fn admin() -> Self {
        Self::known("kubernetes-admin", &[SYSTEM_MASTERS])
    }

    /// Somebody who did not say who they are.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// The form of `authentication.k8s.io/v1` `UserInfo`, as in reviews and admission requests.
    pub fn to_json(&self) -> Value {
        let mut json = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            json["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            json["extra"] = json!(self.extra);
        }
        json
    }

    /// Whether nobody is known to have sent the request.
    pub fn is_anonymous(&self) -> bool {
        self.name == "system:anonymous"
    }
}

/// The bearer tokens of a static token file.
#[derive(Clone, Default)]
pub struct Tokens(BTreeMap<String, UserInfo>);

impl Tokens {
    /// Reads the format of kube-apiserver's `--token-auth-file`: lines of `token,user,uid[,"group1,group2"]`.
    ///
    /// # Errors
    /// A text that names the line and what is wrong with it. Tokens are never part of it.
    pub fn parse(csv: &str) -> Result<Self, String> {
        let mut tokens = BTreeMap::new();
        for (index, line) in csv.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            let fields = split_csv(line).ok_or_else(|| format!("line {number}: a quote is not closed"))?;
            let [token, name, uid, rest @ ..] = fields.as_slice() else {
                return Err(format!(
                    "line {number}: expected at least 3 columns (token,user,uid), found {}",
                    fields.len()
                ));
            };
            if token.is_empty() || name.is_empty() {
                return Err(format!("line {number}: the token and the user must not be empty"));
            }
            let groups: Vec<&str> = rest.iter().flat_map(|groups| groups.split(',')).map(str::trim).collect();
            let groups: Vec<&str> = groups.into_iter().filter(|group| !group.is_empty()).collect();
            let user = UserInfo { uid: uid.clone(), ..UserInfo::known(name, &groups) };
            if tokens.insert(token.clone(), user).is_some() {
                return Err(format!("line {number}: this token stands in an earlier line as well"));
            }
        }
        Ok(Self(tokens))
    }

    /// Adds a token.
    pub fn insert(&mut self, token: impl Into<String>, user: UserInfo) {
        self.0.insert(token.into(), user);
    }

    /// Whose token it is.
    pub fn find(&self, token: &str) -> Option<&UserInfo> {
        self.0.get(token)
    }
}

fn split_csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.trim_end().chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    (!quoted).then(|| fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

/// Finds out who sends a request. `certificate` is the user of a verified client certificate.
///
/// # Errors
/// 401 for a bearer token that nobody has.
pub fn authenticate(headers: &HeaderMap, certificate: Option<&UserInfo>, tokens: &Tokens) -> Result<UserInfo, Status> {
    if let Some(user) = certificate {
        return Ok(user.clone());
    }
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(UserInfo::anonymous());
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let user = token.and_then(|(_, token)| tokens.find(token.trim()));
    user.cloned().ok_or_else(Status::unauthorized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_read() {
        let tokens = Tokens::parse("t1,jane,u1,\"dev,ops\"\n\n# comment\nt2,joe,u2\n").unwrap();
        assert_eq!(tokens.find("t1").unwrap().groups, ["dev", "ops", AUTHENTICATED]);
        assert_eq!(tokens.find("t2").unwrap().name, "joe");
        let error = |csv| Tokens::parse(csv).err().unwrap();
        assert_eq!(error("secret,jane"), "line 1: expected at least 3 columns (token,user,uid), found 2");
        assert_eq!(error("a,b,c\na,d,e"), "line 2: this token stands in an earlier line as well");
        assert_eq!(error("a,b,c,\"d"), "line 1: a quote is not closed");
    }

    #[test]
    fn requests_are_authenticated() {
        let mut tokens = Tokens::default();
        tokens.insert("secret", UserInfo::known("jane", &[]));
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            authenticate(&headers, None, &tokens).map(|user| user.name)
        };
        assert_eq!(with("Bearer secret").unwrap(), "jane");
        assert_eq!(with("Bearer wrong").unwrap_err().code, 401);
        assert_eq!(with("Basic x").unwrap_err().code, 401);
        assert!(authenticate(&HeaderMap::new(), None, &tokens).unwrap().is_anonymous());
        let admin = UserInfo::admin();
        assert_eq!(authenticate(&HeaderMap::new(), Some(&admin), &tokens).unwrap(), admin);
    }
}
