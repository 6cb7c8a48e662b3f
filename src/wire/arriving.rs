//! A body whose connection does its reading on the spot.
//!
//! hyper wants a connection's work done by a task of its own: that reads a piece, hands it to the body,
//! and waits until the body is asked for another. So a piece that has been read waits for the turn of the
//! task that writes it; with many pictures on their way the others' pieces push it out of the
//! processor's caches meanwhile, and copying it costs twice as much. Here the task still does what the
//! socket wakes it for. But what a look at the body wakes it for is done at once by whoever looks.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::Executor;

tokio::task_local! {
    /// The work that a look at a body has woken, while the look lasts.
    static WOKEN: Cell<Option<Arc<Work>>>;
}

/// A client's executor whose connections work for [`Arriving`] bodies. Any other body has them too.
#[derive(Clone, Copy)]
pub(super) struct OnTheSpot;

impl Executor<BoxFuture<'static, ()>> for OnTheSpot {
    fn execute(&self, work: BoxFuture<'static, ()>) {
        tokio::spawn(Task(Arc::new(Work {
            left: Mutex::new(Some(work)),
            task: AtomicWaker::new(),
        })));
    }
}

/// A connection's work, for its task and for whoever reads from it.
struct Work {
    /// `None` once it is done.
    left: Mutex<Option<BoxFuture<'static, ()>>>,
    task: AtomicWaker,
}

impl Work {
    /// Held for no longer than the work can go on without waiting.
    fn left(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the work for a body. Never waits for another thread that is at it.
    fn advance_on_the_spot(self: &Arc<Self>) {
        let pending = self.left.try_lock().is_ok_and(|left| self.advance(left).is_pending());
        if !pending {
            self.task.wake();
        }
    }

    /// Goes on with the work; ready when it is done.
    fn advance(self: &Arc<Self>, mut left: MutexGuard<'_, Option<BoxFuture<'static, ()>>>) -> Poll<()> {
        if let Some(work) = &mut *left {
            let waker = Waker::from(Arc::clone(self));
            ready!(work.as_mut().poll(&mut Context::from_waker(&waker)));
            *left = None;
        }
        Poll::Ready(())
    }
}

impl Wake for Work {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match WOKEN.try_with(|woken| woken.replace(Some(Arc::clone(self)))) {
            Ok(Some(other)) if !Arc::ptr_eq(&other, self) => other.task.wake(),
            Ok(_) => {}
            Err(_) => self.task.wake(),
        }
    }
}

/// What does the work that nobody else does.
struct Task(Arc<Work>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.register(cx.waker());
        self.0.advance(self.0.left())
    }
}

impl Drop for Task {
    /// The work holds its own waker, so without this it would outlive a runtime that ends.
    fn drop(&mut self) {
        *self.0.left() = None;
    }
}

/// A body, and its connection's work where there is some to do before it is looked at again.
pub(super) struct Arriving {
    body: Incoming,
    work: Option<Arc<Work>>,
}

impl Arriving {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, work: None }
    }

    /// The next frame, as [`Body::poll_frame`] has it.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        loop {
            if let Some(work) = self.work.take() {
                work.advance_on_the_spot();
            }
            let (frame, woken) = WOKEN.sync_scope(Cell::default(), || {
                let frame = Pin::new(&mut self.body).poll_frame(cx);
                (frame, WOKEN.with(Cell::take))
            });
            self.work = woken;
            if frame.is_ready() {
                // Reading ahead can wait until there is a use for it, but not what follows the end.
                if self.body.is_end_stream() {
                    self.leave_to_task();
                }
                return frame;
            }
            if self.work.is_none() {
                return Poll::Pending;
            }
        }
    }

    fn leave_to_task(&mut self) {
        if let Some(work) = self.work.take() {
            work.task.wake();
        }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.leave_to_task();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use axum::body::Body;
    use axum::http::Request;
    use futures_util::{FutureExt, stream};
    use hyper::client::conn::http1 as client;
    use hyper::server::conn::http1 as server;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    use super::*;

    const PIECE: usize = 8 * 1024;
    const PIECES: usize = 10;

    /// An answer's body in so many pieces, that comes through a socket which holds `capacity` bytes.
    async fn answered(pieces: usize, capacity: usize) -> (client::SendRequest<String>, Arriving) {
        let (near, far) = tokio::io::duplex(capacity);
        let answer = service_fn(move |_| async move {
            let piece = || Ok::<_, Infallible>(Bytes::from(vec![7; PIECE]));
            let pieces = stream::iter(std::iter::repeat_with(piece).take(pieces));
            Ok::<_, Infallible>(hyper::Response::new(Body::from_stream(pieces)))
        });
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(far), answer));
        let (mut sender, connection) = client::Builder::new()
            .max_buf_size(PIECE)
            .handshake(TokioIo::new(near))
            .await
            .unwrap();
        OnTheSpot.execute(Box::pin(connection.map(|done| done.unwrap())));
        let answer = sender.send_request(Request::new(String::new())).await.unwrap();
        (sender, Arriving::new(answer.into_body()))
    }

    /// The same where all of it lies in the socket.
    async fn arrived() -> (client::SendRequest<String>, Arriving) {
        let arrived = answered(PIECES, 2 * PIECES * PIECE).await;
        // The server needs a few turns.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        arrived
    }

    async fn next(body: &mut Arriving) -> Option<Bytes> {
        let frame = poll_fn(|cx| body.poll_frame(cx)).await?;
        frame.unwrap().into_data().ok()
    }

    #[tokio::test]
    async fn what_lies_in_the_socket_comes_without_another_tasks_turn() {
        let (mut sender, mut body) = arrived().await;
        let mut length = 0;
        while let Some(piece) = next(&mut body).now_or_never().expect("no other task is needed") {
            length += piece.len();
        }
        assert_eq!(length, PIECES * PIECE);
        // The connection's own task goes on where the body has ended.
        sender.ready().await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_leaves_the_rest_to_its_connections_task() {
        let (mut sender, mut body) = arrived().await;
        next(&mut body).await.unwrap();
        assert!(body.work.is_some(), "nothing is read ahead");
        drop(body);
        // Who does not want an answer's rest has closed its connection.
        assert!(sender.ready().await.unwrap_err().is_closed());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_is_lost_between_a_task_and_a_reader_on_other_threads() {
        const MANY: usize = 400;
        let read = |capacity| async move {
            let (mut sender, mut body) = answered(MANY, capacity).await;
            let mut length = 0;
            while let Some(piece) = next(&mut body).await {
                length += piece.len();
            }
            assert_eq!(length, MANY * PIECE);
            sender.ready().await.unwrap();
        };
        // From sockets that hold next to nothing to such that hold a piece.
        let readers = (1..=50).map(|n| tokio::spawn(read(n * PIECE / 50)));
        let all = futures_util::future::try_join_all(readers.collect::<Vec<_>>());
        tokio::time::timeout(std::time::Duration::from_mins(1), all)
            .await
            .expect("all readers come to the end")
            .unwrap();
    }
}
