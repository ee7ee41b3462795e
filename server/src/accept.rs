//! Taking connections. Decides how many there may be, of one address and in all, and how long a request's head and body
//! may take to arrive; what is asked is for `http`. Run by `server` until the relay ends.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, error};

use crate::address::Host;
use crate::door::Peer;
use crate::flow::Gate;
use crate::http::App;
use crate::places::{Place, Places};

/// Beside sockets there are short requests, and sockets that are being told that they are too many.
const SPARE: usize = 64;

/// The largest head of a request, and how much of a body is read ahead.
const HEAD_BYTES: usize = 64 << 10;

/// So many connections where `sockets` sockets are allowed.
pub(crate) fn with_spare(sockets: usize) -> usize {
    sockets.saturating_add(sockets / 4).saturating_add(SPARE)
}

/// Serves whoever connects until `shutdown`; then finishes what was asked already.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, router: Router, shutdown: CancellationToken) {
    let limits = &app.config.limits;
    let places = Places::new(with_spare(limits.max_connections_per_address));
    let all = Arc::new(Semaphore::new(with_spare(limits.max_connections).min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        // A proxy's connections are of many clients: `door` counts those.
        let is_proxy = app.config.trusted_proxy.iter().any(|network| network.contains(address));
        let place = if is_proxy { Ok(None) } else { places.enter(Host::of(address)).map(Some).ok_or(()) };
        let (Ok(place), Ok(slot)) = (place, Arc::clone(&all).try_acquire_owned()) else {
            debug!("a connection too many is dropped");
            continue;
        };
        // Frames are small and wait for nothing.
        let _ = stream.set_nodelay(true);
        let stream = Held { stream, gate: Gate::default(), _held: (place, slot) };
        let head = app.config.handshake_timeout;
        connections.spawn(connection(stream, address, head, router.clone(), shutdown.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// A failure of one connection concerns nobody else; what the system lacks, such as file descriptors, it may have soon.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        error!(%error, "cannot take connections");
        sleep(Duration::from_secs(1)).await;
    }
}

/// Answers the requests of one connection. Its head has to be there in time, the first as well as each later one.
async fn connection(
    stream: Held,
    address: IpAddr,
    head: Duration,
    router: Router,
    shutdown: CancellationToken,
) {
    let flow = stream.gate.flow();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(address));
        request.extensions_mut().insert(flow.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(HEAD_BYTES)
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection broke");
    }
}

/// Lets a request's body end with an error when it has not come in time. What arrives drop by drop is answered with 408.
pub(crate) async fn body_in_time(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // A proxy may see another end of such a body than we do: what follows it is not taken for a request.
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let late = Arc::new(AtomicBool::new(false));
    let deadline = Box::pin(sleep(app.config.body_timeout));
    let (head, body) = request.into_parts();
    let flag = Arc::clone(&late);
    let chunks = futures_util::stream::unfold(
        (body.into_data_stream(), deadline),
        move |(mut rest, mut deadline)| {
            let flag = Arc::clone(&flag);
            async move {
                tokio::select! {
                    chunk = rest.next() => chunk.map(|chunk| (chunk, (rest, deadline))),
                    () = deadline.as_mut() => {
                        flag.store(true, Ordering::Relaxed);
                        Some((Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut))), (rest, deadline)))
                    }
                }
            }
        },
    )
    // Who decompresses a body asks again after its end.
    .fuse();
    let mut response = next.run(Request::from_parts(head, Body::from_stream(chunks))).await;
    if late.load(Ordering::Relaxed) {
        response = StatusCode::REQUEST_TIMEOUT.into_response();
    }
    if chunked {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A stream that holds places as long as it is open, also when it has become a socket.
struct Held {
    stream: TcpStream,
    gate: Gate,
    _held: (Option<Place<Host>>, tokio::sync::OwnedSemaphorePermit),
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_open(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.gate.has_read(buffer.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
