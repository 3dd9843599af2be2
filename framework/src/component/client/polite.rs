//! A client that does not ask more often than it may, and tries again where that is safe.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use kube::client::Body;
use kube::{Client, Error};
use parking_lot::Mutex;
use steersman_machinery::random::Random;
use tokio::time::{Instant, sleep};
use tower::BoxError;

use super::was_not_sent;
use crate::metrics::{Buckets, Family, Metrics};
use crate::rate_limit::TokenBucket;

/// How often a request is tried again that the server was asked about, and that never left. Source: `k8s.io/client-go/rest`
/// (`maxRetries`).
const ANSWERED_MAX: u32 = 10;
const UNSENT_MAX: u32 = 5;
/// The first wait where the server names none; it doubles, and is up to twice as long at random.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

static WAITED: Family = Family::histogram(
    "rest_client_rate_limiter_duration_seconds",
    "How long requests waited for their turn under the limit of this client.",
    Buckets::Exact(&[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]),
);
static RETRIES: Family = Family::counter("rest_client_request_retries_total", "Requests that were sent again, by why.");

/// How a client behaves.
#[derive(Clone)]
pub struct Manners {
    /// Requests a second on the long run; without a limit if it is not positive.
    pub qps: f64,
    /// Requests at once.
    pub burst: u32,
    /// For jitter.
    pub random: Random,
    /// Where it counts.
    pub metrics: Metrics,
}

/// How a request ended, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The server answered, and perhaps said when to come again.
    Answered(StatusCode, Option<Duration>),
    /// It never reached the server.
    NotSent,
    /// Nobody knows whether it reached the server.
    Lost,
}

/// A client that waits its turn, and tries again what the server put off (429 and 5xx that say when to come again), what
/// never reached the server, and reads whose answer was lost. A write whose answer was lost may have been done; whoever wrote
/// has to look.
pub fn polite(client: &Client, manners: Manners) -> Client {
    let namespace = client.default_namespace().to_owned();
    let bucket = Arc::new(Mutex::new(TokenBucket::new(manners.qps, manners.burst)));
    let client = client.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, bucket, manners) = (client.clone(), Arc::clone(&bucket), manners.clone());
        async move { send(&client, &bucket, &manners, request).await.map_err(BoxError::from) }
    });
    Client::new(service, namespace)
}

async fn send(
    client: &Client,
    bucket: &Mutex<TokenBucket>,
    manners: &Manners,
    mut request: Request<Body>,
) -> Result<Response<Body>, Error> {
    for attempt in 0.. {
        let wait = bucket.lock().reserve(Instant::now());
        if !wait.is_zero() {
            manners.metrics.histogram(&WAITED, &[("verb", request.method().as_str())]).observe_duration(wait);
            sleep(wait).await;
        }
        let again = copy(&request);
        let method = request.method().clone();
        let result = client.send(request).await;
        let ending = ending(&result);
        let wait = next_wait(&method, ending, attempt, manners.random.unit());
        let (Some(again), Some(wait)) = (again, wait) else { return result };
        let code = match ending {
            Ending::Answered(status, _) => status.as_str().to_owned(),
            Ending::NotSent | Ending::Lost => "<error>".to_owned(),
        };
        manners.metrics.counter(&RETRIES, &[("code", &code), ("verb", method.as_str())]).increment();
        tracing::debug!(%method, path = again.uri().path(), code, wait = wait.as_secs_f64(), "trying again");
        sleep(wait).await;
        request = again;
    }
    unreachable!("the loop has no end")
}

/// The same request once more; `None` if its body can be read only once.
pub(super) fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}

fn ending(result: &Result<Response<Body>, Error>) -> Ending {
    match result {
        Ok(response) => {
            let seconds =
                response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ending::Answered(response.status(), seconds.map(Duration::from_secs))
        }
        Err(error) if was_not_sent(error) => Ending::NotSent,
        Err(_) => Ending::Lost,
    }
}

/// When to try again; `None`: not at all. `jitter` is in `[0, 1)`.
fn next_wait(method: &Method, ending: Ending, attempt: u32, jitter: f64) -> Option<Duration> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let wait = WAIT.saturating_mul(1 << attempt.min(10)).min(WAIT_MAX).mul_f64(1.0 + jitter);
    match ending {
        Ending::Answered(status, after) if attempt < ANSWERED_MAX => {
            let put_off = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            match after {
                Some(after) if put_off => Some(after.max(if after.is_zero() { wait } else { after })),
                _ if status == StatusCode::TOO_MANY_REQUESTS => Some(wait),
                _ if is_read && matches!(status.as_u16(), 502..=504) => Some(wait),
                _ => None,
            }
        }
        Ending::NotSent if attempt < UNSENT_MAX => Some(wait),
        Ending::Lost if is_read && attempt < UNSENT_MAX => Some(wait),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_is_tried_again() {
        let millis =
            |method: &Method, ending, attempt| next_wait(method, ending, attempt, 0.5).map(|wait| wait.as_millis());
        let answered = |code, after: Option<u64>| {
            Ending::Answered(StatusCode::from_u16(code).unwrap(), after.map(Duration::from_secs))
        };
        let (get, post) = (&Method::GET, &Method::POST);
        assert_eq!(millis(post, answered(429, Some(3)), 0), Some(3000));
        assert_eq!(millis(post, answered(429, None), 1), Some(300));
        assert_eq!(millis(post, answered(503, Some(1)), 9), Some(1000));
        assert_eq!(millis(post, answered(503, Some(1)), 10), None, "not for ever");
        assert_eq!(millis(post, answered(503, None), 0), None, "it may have been done");
        assert_eq!(millis(post, answered(504, None), 0), None);
        assert_eq!(millis(get, answered(504, None), 0), Some(150));
        assert_eq!(millis(get, answered(500, None), 0), None);
        assert_eq!(millis(get, answered(404, Some(1)), 0), None);
        assert_eq!(millis(post, Ending::NotSent, 3), Some(1200));
        assert_eq!(millis(post, Ending::Lost, 0), None, "it may have been done");
        assert_eq!(millis(get, Ending::Lost, 0), Some(150));
        assert_eq!(millis(get, Ending::Lost, 5), None);
    }

    /// A server that gives these answers one after the other, and remembers when it was asked.
    fn server(answers: &'static [(u16, &'static str)]) -> (Client, Arc<Mutex<Vec<u128>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (times, start) = (Arc::clone(&asked), Instant::now());
        let service = tower::service_fn(move |_: Request<Body>| {
            let mut times = times.lock();
            let (code, after) = answers[times.len().min(answers.len() - 1)];
            times.push(start.elapsed().as_millis());
            let mut response = Response::builder().status(code);
            if !after.is_empty() {
                response = response.header(header::RETRY_AFTER, after);
            }
            let response = response.body(Body::empty());
            async move { response }
        });
        (Client::new(service, "default"), asked)
    }

    fn manners(qps: f64, burst: u32) -> Manners {
        Manners { qps, burst, random: Random::seeded(1), metrics: Metrics::recording() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_says_when_to_come_again() {
        let (client, asked) = server(&[(429, "2"), (503, "1"), (201, "")]);
        let manners = manners(0.0, 1);
        let request = Request::post("/").body(Body::from(b"x".to_vec())).unwrap();
        let response = polite(&client, manners.clone()).send(request).await.unwrap();
        assert_eq!((response.status().as_u16(), asked.lock().clone()), (201, vec![0, 2000, 3000]));
        let text = manners.metrics.render();
        assert!(text.contains(r#"rest_client_request_retries_total{code="429",verb="POST"} 1"#), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept() {
        let (client, asked) = server(&[(200, "")]);
        let client = polite(&client, manners(10.0, 2));
        for _ in 0..4 {
            client.send(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        }
        assert_eq!(*asked.lock(), [0, 0, 100, 200]);
    }
}
