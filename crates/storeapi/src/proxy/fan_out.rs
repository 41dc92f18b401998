//! What each member of a proxy answered, for who wants to know.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Frame, Series, StoreError};
use crate::wire::encode::ChunkRef;

/// What one member answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The member's name.
    pub name: String,
    /// Time from the question to the end of the answer, or to the last frame so far.
    pub time: Duration,
    /// Bytes of labels and chunks.
    pub bytes: u64,
    /// Frames that the answer came in.
    pub responses: u64,
    /// Series and parts of series.
    pub series: u64,
    /// Chunks, each aggregate of downsampled ones for itself.
    pub chunks: u64,
    /// Samples in the chunks.
    pub samples: u64,
    /// Why it did not answer, or not to the end.
    pub error: Option<String>,
}

impl Asked {
    fn count(&mut self, series: &Series) {
        self.series += 1;
        let labels = series.labels.iter();
        let bytes = labels.map(|(name, value)| name.len() + value.len());
        self.bytes += bytes.sum::<usize>() as u64;
        for chunk in &series.chunks {
            self.chunks += chunk.data.parts().count() as u64;
            self.bytes += chunk.data.bytes() as u64;
            self.samples += ChunkRef::from(chunk).samples();
        }
    }
}

/// Takes down what members answer. Clones take down the same.
#[derive(Clone, Default)]
pub struct FanOut {
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.lock()).finish()
    }
}

impl FanOut {
    /// What was taken down so far, in the order of asking.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take down what a member answers that is asked now.
    pub(super) fn watch(&self, name: String) -> Watch {
        let mut asked = self.lock();
        asked.push(Asked {
            name,
            ..Asked::default()
        });
        Watch {
            fan_out: self.clone(),
            at: asked.len() - 1,
            begin: Instant::now(),
        }
    }
}

/// Takes down one answer.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    fan_out: FanOut,
    at: usize,
    begin: Instant,
}

impl Watch {
    /// A frame came, or the end.
    pub(super) fn note(&self, frame: Option<&Result<Frame, StoreError>>) {
        let mut asked = self.fan_out.lock();
        // Who took the figures before the end does not need the rest.
        let Some(asked) = asked.get_mut(self.at) else {
            return;
        };
        asked.time = self.begin.elapsed();
        match frame {
            Some(Ok(Frame::Series(series))) => {
                asked.responses += 1;
                series.iter().for_each(|series| asked.count(series));
            }
            Some(Ok(Frame::Warning(_))) => asked.responses += 1,
            Some(Err(error)) => asked.error = Some(error.to_string()),
            None => {}
        }
    }
}
