//! Bearer tokens that are known beforehand: kube-apiserver's `--token-auth-file`.

use std::collections::BTreeMap;
use std::fmt;

use super::UserInfo;

/// The bearer tokens of a static token file.
#[derive(Clone, Default)]
pub struct Tokens(BTreeMap<String, UserInfo>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::AUTHENTICATED;

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
}
