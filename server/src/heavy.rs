//! Work that takes milliseconds: reading and writing large messages. Decides that it is done beside the few threads that
//! serve all sockets, and by no more threads than there are cores. Used by `socket`, `room` and the push-pull endpoints.

use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// From here on a message is large.
pub(crate) const HEAVY_BYTES: usize = 64 << 10;

static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));

/// Does it when it is its turn. `None` if it panicked.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let _turn = TURNS.acquire().await;
    spawn_blocking(work).await.ok()
}
