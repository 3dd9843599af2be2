use super::*;

static REQUESTS: Family = Family::counter("requests_total", "Requests.");
static DEPTH: Family = Family::gauge("depth", "A \\ and\nmore.");
static SECONDS: Family = Family::histogram("seconds", "Times.", Buckets::Exact(&[0.5, 1.0]));
static TINY: Family =
    Family::histogram("tiny_seconds", "Short times.", Buckets::Exponential { start: 10e-9, factor: 10.0, count: 5 });

#[test]
fn the_text_is_that_of_prometheus() {
    let metrics = Metrics::recording();
    metrics.counter(&REQUESTS, &[("method", "GET"), ("host", "a\"b")]).add(2);
    metrics.counter(&REQUESTS, &[("method", "GET"), ("host", "a\"b")]).increment();
    metrics.gauge(&DEPTH, &[]).set(-4);
    let seconds = metrics.histogram(&SECONDS, &[("name", "x")]);
    for value in [0.5, 0.25, 0.75, 7.5] {
        seconds.observe(value);
    }
    let expect = r#"# HELP depth A \\ and\nmore.
# TYPE depth gauge
depth -4
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{method="GET",host="a\"b"} 3
# HELP seconds Times.
# TYPE seconds histogram
seconds_bucket{name="x",le="0.5"} 2
seconds_bucket{name="x",le="1"} 3
seconds_bucket{name="x",le="+Inf"} 4
seconds_sum{name="x"} 9
seconds_count{name="x"} 4
"#;
    assert_eq!(metrics.render(), expect);
}

#[test]
fn bounds_are_those_of_upstreams_buckets() {
    let metrics = Metrics::recording();
    metrics.histogram(&TINY, &[]).observe(2e-8);
    let text = metrics.render();
    for line in [r#"{le="1e-08"} 0"#, r#"{le="1e-07"} 1"#, r#"{le="9.999999999999999e-06"} 1"#] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn what_is_live_is_read_when_somebody_looks_and_may_be_gone() {
    let metrics = Metrics::recording();
    let value = Arc::new(Mutex::new(1.5));
    let weak = Arc::downgrade(&value);
    metrics.live(&DEPTH, &[], move || weak.upgrade().map(|value| *value.lock()));
    assert!(metrics.render().ends_with("depth 1.5\n"));
    *value.lock() = 2.0;
    assert!(metrics.render().ends_with("depth 2\n"));
    drop(value);
    assert!(metrics.render().ends_with("gauge\n"));
}

#[test]
fn two_registries_are_rendered_as_if_they_were_one() {
    let (long, short) = (Metrics::recording(), Metrics::recording());
    let requests = long.counter(&REQUESTS, &[("host", "b")]);
    requests.add(2);
    short.counter(&REQUESTS, &[("host", "a")]).increment();
    short.gauge(&DEPTH, &[]).set(7);
    let text = long.render_with(&short);
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(samples, ["depth 7", r#"requests_total{host="a"} 1"#, r#"requests_total{host="b"} 2"#]);
    assert_eq!(text.matches("# TYPE requests_total").count(), 1);
    assert_eq!((requests.value(), Counter::default().value()), (2, 0));
    assert_eq!(long.render_with(&Metrics::default()), long.render());
}

#[test]
fn without_a_registry_nothing_is_kept() {
    let metrics = Metrics::default();
    metrics.counter(&REQUESTS, &[]).increment();
    metrics.gauge(&DEPTH, &[]).add(1);
    let histogram = metrics.histogram(&SECONDS, &[]);
    histogram.observe_duration(Duration::from_secs(1));
    assert!(!histogram.is_recording() && !metrics.is_recording());
    assert_eq!(metrics.render(), "");
}

#[test]
#[should_panic(expected = "requests_total is not a histogram")]
fn a_family_is_of_one_kind() {
    Metrics::recording().histogram(&REQUESTS, &[]);
}
