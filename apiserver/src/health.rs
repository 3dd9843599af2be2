//! What the health endpoints answer, given how the checks came out.
//! Source: `k8s.io/apiserver/pkg/server/healthz`.

use std::fmt::Write;

/// What was asked for beside the path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// `?verbose`: name every check.
    pub verbose: bool,
    /// `?exclude=NAME`, any number of them: checks that do not count.
    pub exclude: &'a [String],
}

/// The checks in upstream's order; the flag says that a check belongs to `/readyz` only.
const CHECKS: &[(&str, bool)] = &[
    ("ping", false),
    ("log", false),
    ("etcd", false),
    ("etcd-readiness", true),
    ("informer-sync", true),
    ("poststarthook/start-apiserver-admission-initializer", false),
    ("poststarthook/generic-apiserver-start-informers", false),
    ("poststarthook/priority-and-fairness-config-consumer", false),
    ("poststarthook/priority-and-fairness-filter", false),
    ("poststarthook/storage-object-count-tracker-hook", false),
    ("poststarthook/storage-readiness", false),
    ("poststarthook/start-apiextensions-informers", false),
    ("poststarthook/start-apiextensions-controllers", false),
    ("poststarthook/crd-informer-synced", false),
    ("poststarthook/start-system-namespaces-controller", false),
    ("poststarthook/start-cluster-authentication-info-controller", false),
    ("poststarthook/start-kube-apiserver-identity-lease-controller", false),
    ("poststarthook/start-kube-apiserver-identity-lease-garbage-collector", false),
    ("poststarthook/start-legacy-token-tracking-controller", false),
    ("poststarthook/start-service-ip-repair-controllers", false),
    ("poststarthook/rbac/bootstrap-roles", false),
    ("poststarthook/scheduling/bootstrap-system-priority-classes", false),
    ("poststarthook/priority-and-fairness-config-producer", false),
    ("poststarthook/bootstrap-controller", false),
    ("poststarthook/start-kubernetes-service-cidr-controller", false),
    ("poststarthook/aggregator-reload-proxy-client-cert", false),
    ("poststarthook/start-kube-aggregator-informers", false),
    ("poststarthook/apiservice-status-local-available-controller", false),
    ("poststarthook/apiservice-status-remote-available-controller", false),
    ("poststarthook/apiservice-registration-controller", false),
    ("poststarthook/apiservice-discovery-controller", false),
    ("poststarthook/kube-apiserver-autoregistration", false),
    ("autoregister-completion", false),
    ("poststarthook/apiservice-openapi-controller", false),
    ("poststarthook/apiservice-openapiv3-controller", false),
    ("shutdown", true),
];

/// The names of the checks of an endpoint, in order; `path` begins with it.
pub fn checks(path: &str) -> impl Iterator<Item = &'static str> {
    let ready = path.trim_matches('/').starts_with("readyz");
    CHECKS.iter().filter(move |(_, only_ready)| ready || !only_ready).map(|(name, _)| *name)
}

/// Status code and body (`text/plain; charset=utf-8`) for a path: `/healthz`, `/livez` or `/readyz`, with all checks, or
/// one of these followed by the name of a check, such as `/readyz/ping`.
pub fn render(path: &str, checks: &[(&str, Result<(), String>)], query: Query<'_>) -> (u16, String) {
    let path = path.trim_matches('/');
    match path.split_once('/') {
        Some((_, name)) => single(checks.iter().find(|(check, _)| *check == name).map(|(_, result)| result)),
        None => all(path, checks, query),
    }
}

fn single(result: Option<&Result<(), String>>) -> (u16, String) {
    match result {
        Some(Ok(())) => (200, "ok".to_owned()),
        Some(Err(error)) => (500, format!("internal server error: {error}\n")),
        None => (404, "404 page not found\n".to_owned()),
    }
}

fn all(endpoint: &str, checks: &[(&str, Result<(), String>)], query: Query<'_>) -> (u16, String) {
    let is_excluded = |name: &str| query.exclude.iter().any(|it| it == name);
    let mut lines = String::new();
    let mut healthy = true;
    for (name, result) in checks {
        let outcome = match result {
            _ if is_excluded(name) => format!("[+]{name} excluded: ok"),
            Ok(()) => format!("[+]{name} ok"),
            // What went wrong may be confidential: it goes to the log, and to who asks for the check itself.
            Err(_) => {
                healthy = false;
                format!("[-]{name} failed: reason withheld")
            }
        };
        lines = lines + &outcome + "\n";
    }
    let strangers: Vec<_> = query
        .exclude
        .iter()
        .filter(|name| checks.iter().all(|(check, _)| check != name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !strangers.is_empty() {
        let names = strangers.join(",");
        writeln!(lines, "warn: some health checks cannot be excluded: no matches for {names}")
            .expect("a String takes any text");
    }
    match (healthy, query.verbose) {
        (false, _) => (500, format!("{lines}{endpoint} check failed\n")),
        (true, true) => (200, format!("{lines}{endpoint} check passed\n")),
        (true, false) => (200, "ok".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, query: Query<'_>, expect: (u16, &str)) {
        let checks = [("ping", Ok(())), ("etcd", Err("gone".to_owned()))];
        let (code, body) = render(path, &checks, query);
        assert_eq!((code, body.as_str()), expect, "{path} {query:?}");
    }

    #[test]
    fn one_failure_makes_it_unhealthy() {
        let failed = "[+]ping ok\n[-]etcd failed: reason withheld\nhealthz check failed\n";
        check("/healthz", Query::default(), (500, failed));
        assert_eq!(render("/livez", &[("ping", Ok(()))], Query::default()), (200, "ok".to_owned()));
    }

    #[test]
    fn each_endpoint_has_its_checks() {
        let of = |path: &str| checks(path).collect::<Vec<_>>();
        for own in ["informer-sync", "etcd-readiness", "shutdown"] {
            assert!(of("/readyz/ping").contains(&own) && !of("/livez").contains(&own), "{own}");
        }
        assert_eq!(of("/healthz"), of("/livez"));
        assert_eq!(of("/livez")[..3], ["ping", "log", "etcd"]);
        assert!(of("/livez").contains(&"poststarthook/rbac/bootstrap-roles"));
    }

    #[test]
    fn excluded_checks_do_not_count() {
        let exclude = ["etcd".to_owned()];
        let mut query = Query { verbose: false, exclude: &exclude };
        check("/readyz", query, (200, "ok"));
        query.verbose = true;
        check("/readyz", query, (200, "[+]ping ok\n[+]etcd excluded: ok\nreadyz check passed\n"));
        let exclude = ["etcd".to_owned(), "x".to_owned()];
        query.exclude = &exclude;
        let warned = "[+]ping ok\n[+]etcd excluded: ok\n\
                      warn: some health checks cannot be excluded: no matches for \"x\"\nreadyz check passed\n";
        check("/readyz", query, (200, warned));
    }

    #[test]
    fn single_checks_say_why() {
        check("/livez/ping", Query::default(), (200, "ok"));
        check("/livez/etcd", Query::default(), (500, "internal server error: gone\n"));
        check("/livez/none", Query::default(), (404, "404 page not found\n"));
    }
}
