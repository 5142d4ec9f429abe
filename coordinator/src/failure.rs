//! How the process ends when it cannot go on: one sentence and an exit code.

use std::fmt::Display;

use crate::files::FileError;

/// Why the process cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for is wrong: the command line, the file, the folder. Exit code 2.
    #[error("{0}")]
    Input(String),
    /// The machine does not allow it now, or something broke. Exit code 1.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    /// What was asked for is wrong.
    pub fn input(sentence: impl Display) -> Self {
        Self::Input(sentence.to_string())
    }

    /// It does not work now.
    pub fn runtime(sentence: impl Display) -> Self {
        Self::Runtime(sentence.to_string())
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Runtime(_) => 1,
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Runtime(error.into())
    }
}

/// An error with all its causes in one line.
pub fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
