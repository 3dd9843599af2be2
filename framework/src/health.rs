//! Whether a process is well: named checks, and what `/healthz`, `/livez` and `/readyz` say of them.
//! Source: `k8s.io/apiserver/pkg/server/healthz`.
//!
//! ```
//! use steersman_framework::health::{Health, Probe};
//!
//! let health = Health::default();
//! health.ready("greeter", || Err("nobody is there yet".to_owned()));
//! assert!(health.report(Probe::Live, &[]).is_ok());
//! assert!(!health.report(Probe::Ready, &[]).is_ok());
//! ```

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

/// Named checks. Clones share everything.
#[derive(Clone, Default)]
pub struct Health(Arc<RwLock<Vec<Check>>>);

struct Check {
    name: &'static str,
    only_ready: bool,
    check: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`: whether it is well. The same checks as `/livez`.
    Healthz,
    /// `/livez`: whether it should go on; if not, it is restarted.
    Live,
    /// `/readyz`: whether it does its work.
    Ready,
}

/// The results of the checks, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    probe: &'static str,
    results: Vec<(&'static str, Result<(), String>)>,
    unknown: Vec<String>,
}

impl Health {
    /// Has a check made for every probe. It should be quick; a failure says why.
    pub fn live(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.add(name, false, Box::new(check));
    }

    /// Has a check made for `/readyz` only.
    pub fn ready(&self, name: &'static str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.add(name, true, Box::new(check));
    }

    fn add(&self, name: &'static str, only_ready: bool, check: Box<dyn Fn() -> Result<(), String> + Send + Sync>) {
        let mut checks = self.0.write();
        checks.retain(|known| known.name != name);
        checks.push(Check { name, only_ready, check });
    }

    /// Makes the checks of a probe, apart from `excluded` ones.
    pub fn report(&self, probe: Probe, excluded: &[&str]) -> Report {
        let checks = self.0.read();
        let asked: Vec<&Check> = checks.iter().filter(|check| probe == Probe::Ready || !check.only_ready).collect();
        let is_known = |name: &str| name == PING || asked.iter().any(|check| check.name == name);
        let unknown = excluded.iter().filter(|name| !is_known(name)).map(|&name| name.to_owned()).collect();
        let made = asked.iter().map(|check| (check.name, (check.check)()));
        let results = [(PING, Ok(()))].into_iter().chain(made).filter(|(name, _)| !excluded.contains(name)).collect();
        let probe = match probe {
            Probe::Healthz => "healthz",
            Probe::Live => "livez",
            Probe::Ready => "readyz",
        };
        Report { probe, results, unknown }
    }
}

/// The check that says only that somebody answers.
const PING: &str = "ping";

impl Report {
    /// Whether all is well.
    pub fn is_ok(&self) -> bool {
        self.results.iter().all(|(_, result)| result.is_ok())
    }

    /// The result of one check; `None` if there is no such check.
    pub fn check(&self, name: &str) -> Option<&Result<(), String>> {
        self.results.iter().find(|(known, _)| *known == name).map(|(_, result)| result)
    }

    /// A line a check, and a last one that sums up.
    pub fn verbose(&self) -> String {
        let line = |(name, result): &(&str, Result<(), String>)| match result {
            Ok(()) => format!("[+]{name} ok\n"),
            Err(reason) => format!("[-]{name} failed: {reason}\n"),
        };
        let warn = |names: &str| format!("warn: some health checks cannot be excluded: no matches for {names}\n");
        let lines: String = self.results.iter().map(line).collect();
        let quoted: Vec<String> = self.unknown.iter().map(|name| format!("{name:?}")).collect();
        let unknown = if quoted.is_empty() { String::new() } else { warn(&quoted.join(",")) };
        format!("{lines}{unknown}{} check {}\n", self.probe, if self.is_ok() { "passed" } else { "failed" })
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.read().iter().map(|check| check.name).collect();
        formatter.debug_tuple("Health").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let health = Health::default();
        health.live("leaderElection", || Ok(()));
        health.ready("informer-sync", || Err("pods are not listed yet".to_owned()));
        health
    }

    #[test]
    fn what_is_not_ready_is_alive() {
        let health = health();
        assert_eq!(health.report(Probe::Live, &[]).verbose(), "[+]ping ok\n[+]leaderElection ok\nlivez check passed\n");
        let ready = health.report(Probe::Ready, &[]);
        assert!(!ready.is_ok());
        assert_eq!(
            ready.verbose(),
            "[+]ping ok\n[+]leaderElection ok\n[-]informer-sync failed: pods are not listed yet\nreadyz check failed\n"
        );
        assert_eq!(ready.check("ping"), Some(&Ok(())));
        assert_eq!(ready.check("other"), None);
    }

    #[test]
    fn checks_can_be_excluded_and_replaced() {
        let health = health();
        assert!(health.report(Probe::Ready, &["informer-sync"]).is_ok());
        let unknown = health.report(Probe::Healthz, &["x"]).verbose();
        assert!(unknown.contains("warn: some health checks cannot be excluded: no matches for \"x\"\n"), "{unknown}");
        health.ready("informer-sync", || Ok(()));
        assert!(health.report(Probe::Ready, &[]).is_ok());
    }
}
