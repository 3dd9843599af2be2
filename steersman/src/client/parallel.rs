//! Serves the requests of one caller side by side where the runtime has threads for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use steersman_framework::api::Alone;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tower::{BoxError, Service};

/// Makes the server's part of a request a task of its own, as it is behind a socket, if the runtime has several threads: a
/// controller that has a hundred requests under way in one task would keep only one of them busy. On a single thread
/// requests are served where they are made, so that they keep their order; so are those whose task has nothing else to do.
#[derive(Clone, Debug)]
pub(super) struct Parallel<S>(pub(super) S);

impl<B, S> Service<Request<B>> for Parallel<S>
where
    S: Service<Request<B>, Error = BoxError>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let alone = request.extensions().get::<Alone>().is_some();
        let served = self.0.call(request);
        match Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread && !alone => {
                Box::pin(OwnTask(runtime.spawn(served)))
            }
            _ => Box::pin(served),
        }
    }
}

/// A task that ends when nobody waits for it any more, as a request does whose connection is closed.
struct OwnTask<T>(JoinHandle<Result<T, BoxError>>);

impl<T> Future for OwnTask<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(answer) => answer,
            Err(error) => Err(error.into()),
        })
    }
}

impl<T> Drop for OwnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread::{self, ThreadId};

    use tokio::sync::Barrier;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn on_several_threads_requests_of_one_task_do_not_wait_for_each_other() {
        let both = Arc::new(Barrier::new(2));
        let service = Parallel(service_fn(move |_: Request<()>| {
            let both = both.clone();
            async move {
                both.wait().await;
                Ok::<_, BoxError>(tokio::task::id())
            }
        }));
        let (first, second) =
            tokio::join!(service.clone().oneshot(Request::new(())), service.oneshot(Request::new(())));
        assert_ne!(first.unwrap(), second.unwrap(), "each is a task");
    }

    #[tokio::test]
    async fn on_one_thread_a_request_is_served_by_whoever_makes_it() {
        let service = Parallel(service_fn(|_: Request<()>| async {
            Ok::<_, BoxError>((tokio::task::try_id(), thread::current().id()))
        }));
        let (task, thread): (_, ThreadId) = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!((task, thread), (tokio::task::try_id(), thread::current().id()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_whose_task_does_nothing_else_is_served_there() {
        let service = Parallel(service_fn(|_: Request<()>| async { Ok::<_, BoxError>(tokio::task::id()) }));
        let mut request = Request::new(());
        request.extensions_mut().insert(Alone);
        let asked = tokio::spawn(service.oneshot(request));
        let task = asked.id();
        assert_eq!(asked.await.unwrap().unwrap(), task);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_that_nobody_waits_for_ends() {
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let alive = Arc::new(parking_lot::Mutex::new(Some(alive)));
        let service = Parallel(service_fn(move |_: Request<()>| {
            let alive = alive.lock().take();
            async move {
                std::future::pending::<()>().await;
                drop(alive);
                Ok::<_, BoxError>(())
            }
        }));
        let mut request = Box::pin(service.oneshot(Request::new(())));
        assert!(futures::poll!(&mut request).is_pending());
        drop(request);
        assert!(gone.await.is_err(), "the task was dropped with what it held");
    }
}
