//! A copy of the embedded database beside a running relay. Decides that a copy is whole or not there; never writes to
//! the database itself. Called by the command `backup`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::error::Error;

/// Copies the database to a file that is not there yet: as it is at one moment, and compact. The relay goes on.
///
/// # Errors
/// When there is no database, the file is there, or the copy cannot be written.
pub async fn back_up(database: &Path, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::Backup { path: to.to_owned(), source };
    if to.try_exists().map_err(failed)? {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    let partial = partial(to);
    let copied = copy(database, &partial).await;
    let done = copied.and_then(|()| publish(&partial, to).map_err(failed));
    if done.is_err() {
        // What is left of a copy that failed is of no use; it may not be there at all.
        let _ = std::fs::remove_file(&partial);
    }
    done
}

fn partial(to: &Path) -> PathBuf {
    let mut name = OsString::from(to);
    name.push(".partial");
    name.into()
}

async fn copy(database: &Path, to: &Path) -> Result<(), Error> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut db = SqliteConnection::connect_with(&options).await?;
    let copied = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy()).execute(&mut db).await;
    db.close().await?;
    copied?;
    Ok(())
}

/// SQLite does not wait until the copy is on the disk: before it has its name it must be.
fn publish(partial: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::File::open(partial)?.sync_all()?;
    // Unlike a rename this replaces nothing that has come there meanwhile.
    std::fs::hard_link(partial, to)?;
    std::fs::remove_file(partial)?;
    #[cfg(unix)]
    std::fs::File::open(
        to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?
    .sync_all()?;
    Ok(())
}
