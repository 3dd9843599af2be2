use http::Method;

use super::*;

fn kind(method: &Method, uri: &str, applies: bool) -> Option<Kind> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query = Query::parse(query);
    Kind::of(&RequestInfo::new(method, path, &query), &query, applies)
}

#[test]
fn requests_are_told_apart_by_upstreams_labels() {
    for (method, uri, applies, expect) in [
        (Method::GET, "/api/v1/pods", false, "cluster LIST"),
        (Method::GET, "/api/v1/namespaces/a/pods", false, "namespace LIST"),
        (Method::GET, "/api/v1/namespaces/a/pods/b", false, "resource GET"),
        (Method::GET, "/api/v1/namespaces/a/pods?watch=1", false, "namespace WATCH"),
        (Method::POST, "/api/v1/namespaces/a/pods", false, "resource POST"),
        (Method::PUT, "/api/v1/namespaces/a/pods/b", false, "resource PUT"),
        (Method::PATCH, "/api/v1/namespaces/a/pods/b", false, "resource PATCH"),
        (Method::PATCH, "/api/v1/namespaces/a/pods/b", true, "resource APPLY"),
        (Method::DELETE, "/api/v1/namespaces/a/pods/b", false, "resource DELETE"),
        (Method::DELETE, "/api/v1/namespaces/a/pods", false, "namespace DELETECOLLECTION"),
        (Method::POST, "/api/v1/namespaces/a/pods/b/exec", false, "resource CONNECT"),
    ] {
        let kind = kind(&method, uri, applies).unwrap();
        assert_eq!(format!("{} {}", kind.scope, kind.verb), expect, "{method} {uri}");
        assert_eq!((kind.component, kind.resource.as_str()), ("apiserver", "pods"));
    }
    assert_eq!(kind(&Method::GET, "/readyz", false).unwrap().subresource, "/readyz");
    assert_eq!(kind(&Method::GET, "/version", false), None);
    assert_eq!(kind(&Method::DELETE, "/api/v1/nodes/a?dryRun=x", false).unwrap().dry_run, "invalid");
}

#[test]
fn what_was_counted_is_written_as_prometheus_reads_it() {
    let metrics = Metrics::new(&"GenericWorkload=true".parse().unwrap());
    let list = kind(&Method::GET, "/apis/apps/v1/deployments", false).unwrap();
    for (code, took) in [(200, 1), (200, 700), (403, 90_000)] {
        metrics.answered(&list, (code, Duration::from_millis(took)), |_| true);
    }
    let invented = kind(&Method::GET, "/apis/apps/v1/whatever", false).unwrap();
    metrics.answered(&invented, (404, Duration::ZERO), |kind| kind.place()[2] != "whatever");
    metrics.entered("global-default", "global-default", None);
    metrics.entered("global-default", "global-default", Some("queue-full"));
    let watch = metrics.runs(kind(&Method::GET, "/apis/apps/v1/deployments?watch=1", false).unwrap());
    let text = metrics.render(&[("system".to_owned(), 98)], &[("apps".to_owned(), "deployments".to_owned(), 7)]);
    let labels = r#"component="apiserver",dry_run="",group="apps",resource="deployments",scope="cluster",subresource="",verb="LIST",version="v1""#;
    let open = r#"component="apiserver",group="apps",resource="deployments",scope="cluster",subresource="",verb="WATCH",version="v1""#;
    for line in [
        "# TYPE apiserver_request_total counter",
        &format!("apiserver_request_total{{code=\"200\",{labels}}} 2"),
        &format!("apiserver_request_total{{code=\"403\",{labels}}} 1"),
        "# TYPE apiserver_request_duration_seconds histogram",
        &format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 1"),
        &format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"0.6\"}} 1"),
        &format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"1\"}} 2"),
        &format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"60\"}} 2"),
        &format!("apiserver_request_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 3"),
        &format!("apiserver_request_duration_seconds_sum{{{labels}}} 90.701"),
        &format!("apiserver_request_duration_seconds_count{{{labels}}} 3"),
        &format!("apiserver_longrunning_requests{{{open}}} 1"),
        r#"apiserver_flowcontrol_dispatched_requests_total{flow_schema="global-default",priority_level="global-default"} 1"#,
        r#"apiserver_flowcontrol_rejected_requests_total{flow_schema="global-default",priority_level="global-default",reason="queue-full"} 1"#,
        r#"apiserver_flowcontrol_nominal_limit_seats{priority_level="system"} 98"#,
        r#"apiserver_resource_objects{group="apps",resource="deployments"} 7"#,
        r#"apiserver_storage_objects{resource="deployments.apps"} 7"#,
        r#"kubernetes_feature_enabled{name="GenericWorkload",stage="ALPHA"} 1"#,
        r#"kubernetes_feature_enabled{name="GangScheduling",stage="ALPHA"} 0"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(!text.contains("whatever"), "{text}");
    drop(watch);
    let text = metrics.render(&[], &[]);
    assert!(text.contains(&format!("apiserver_longrunning_requests{{{open}}} 0")));
    assert!(!text.contains("seats") && !text.contains("objects"), "a family without samples is left out:\n{text}");
}

#[test]
fn families_come_by_name_however_their_numbers_are_known() {
    let metrics = Metrics::new(&Features::default());
    metrics.entered("catch-all", "catch-all", Some("time-out"));
    let text = metrics.render(&[("system".to_owned(), 98)], &[(String::new(), "pods".to_owned(), 1)]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let expect = [
        "apiserver_flowcontrol_dispatched_requests_total counter",
        "apiserver_flowcontrol_nominal_limit_seats gauge",
        "apiserver_flowcontrol_rejected_requests_total counter",
        "apiserver_resource_objects gauge",
        "apiserver_storage_objects gauge",
        "kubernetes_build_info gauge",
        "kubernetes_feature_enabled gauge",
    ];
    assert_eq!(names, expect);
    let none =
        r#"apiserver_flowcontrol_dispatched_requests_total{flow_schema="catch-all",priority_level="catch-all"} 0"#;
    assert!(text.lines().any(|line| line == none), "{text}");
}

#[test]
fn what_became_of_requests_is_told_by_level() {
    let metrics = Metrics::new(&Features::default());
    let refusals = [None, Some("time-out"), Some("queue-full"), Some("concurrency-limit")];
    for (schema, refused) in ["a", "b"].into_iter().flat_map(|schema| refusals.map(|refused| (schema, refused))) {
        metrics.entered(schema, "busy", refused);
    }
    metrics.entered("a", "idle", None);
    assert_eq!(metrics.past("busy"), Past { dispatched: 2, rejected: 4, timed_out: 2 });
    assert_eq!(metrics.past("idle"), Past { dispatched: 1, ..Past::default() });
    assert_eq!(metrics.past("unheard-of"), Past::default());
}

#[test]
fn what_lasts_is_one_series_whatever_its_dry_run() {
    let metrics = Metrics::new(&Features::default());
    let watch = |query: &str| kind(&Method::GET, &format!("/api/v1/pods?watch=1{query}"), false).unwrap();
    let _open = [metrics.runs(watch("")), metrics.runs(watch("&dryRun=All"))];
    let text = metrics.render(&[], &[]);
    let open: Vec<&str> = text.lines().filter(|line| line.starts_with("apiserver_longrunning_requests{")).collect();
    assert!(matches!(open[..], [one] if one.ends_with("} 2")), "{open:?}");
}
