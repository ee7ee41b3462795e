//! What happens inside one transaction of the replicated database (being written).
use super::store::{Store, StoreError};
/// One transaction's worth of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {}
/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {}
/// Runs a job: begin, the program, commit; rollback on any error.
///
/// # Errors
/// What the store said; nothing of the job has happened then.
pub async fn run<S: Store>(_store: &mut S, job: &Job) -> Result<Outcome, StoreError> {
    match *job {}
}
