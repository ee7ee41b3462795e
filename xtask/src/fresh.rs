//! Whether a step can be left out because nothing it reads has changed.
//! Compares contents, not times (a fresh clone or a branch switch moves all times); never looks at what a step made.
//! Called by `npm`, `pack` and `demo`, which check for the product themselves.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

/// What a step reads, boiled down to one word.
#[derive(Debug, Default)]
pub(crate) struct Inputs(DefaultHasher);

impl Inputs {
    /// Starts with the running xtask itself: other steps, other products.
    pub(crate) fn of_this_tool() -> Result<Self> {
        let mut inputs = Self::default();
        inputs.file(&std::env::current_exe()?)?;
        Ok(inputs)
    }

    pub(crate) fn file(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        path.file_name().hash(&mut self.0);
        bytes.hash(&mut self.0);
        Ok(())
    }

    /// Every file below a folder, but for those below a folder named in `without`.
    pub(crate) fn folder(&mut self, folder: &Path, without: &[&str]) -> Result<()> {
        let mut entries = listed(folder)?;
        entries.retain(|path| !without.iter().any(|name| path.file_name().is_some_and(|own| own == *name)));
        for path in entries {
            if path.is_dir() {
                self.folder(&path, without)?;
            } else if path.is_file() {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn word(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}

/// The word of the last time that a step succeeded, kept in a file.
#[derive(Debug)]
pub(crate) struct Stamp(PathBuf);

impl Stamp {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn says(&self, word: &str) -> bool {
        std::fs::read_to_string(&self.0).is_ok_and(|kept| kept == word)
    }

    pub(crate) fn set(&self, word: &str) -> Result<()> {
        run::write(&self.0, word)
    }
}

/// The entries of a folder in a fixed order.
pub(crate) fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_changes_the_word_and_a_skipped_folder_does_not() {
        let folder = std::env::temp_dir().join(format!("xtask-fresh-{}", std::process::id()));
        let word = || {
            let mut inputs = Inputs::default();
            inputs.folder(&folder, &["node_modules"]).unwrap();
            inputs.word()
        };
        run::write(&folder.join("src/a.js"), "a").unwrap();
        let first = word();
        run::write(&folder.join("node_modules/b.js"), "b").unwrap();
        assert_eq!(first, word());
        run::write(&folder.join("src/a.js"), "c").unwrap();
        assert_ne!(first, word());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
