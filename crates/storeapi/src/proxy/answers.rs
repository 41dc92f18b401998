//! What members say, and what becomes of it when they fail.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use model::ErrorKind;
use runtime::tasks::Owned;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fan_out::Watch;
use super::members::Member;
use crate::merge::Frames;
use crate::store::{Frame, PartialResponse, StoreError, Strings};

/// Frames that a member's answer may be ahead of its reader.
const AHEAD_FRAMES: usize = 4;

/// What members are held to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) silence_max: Duration,
    pub(super) partial_response: PartialResponse,
}

/// Questions under a policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Questions(pub(super) Policy);

impl Questions {
    /// A member's answer, in which failures are what the policy makes of them. What comes is taken
    /// down by `watch`.
    pub(super) fn series(self, name: String, frames: Frames, watch: Option<Watch>) -> Frames {
        let silence_max = self.0.silence_max;
        stream::unfold(Some(frames), move |frames| {
            let (name, watch) = (name.clone(), watch.clone());
            async move {
                let mut frames = frames?;
                let frame = match timeout(silence_max, frames.next()).await {
                    Ok(frame) => frame,
                    Err(_) => Some(Err(silent(silence_max))),
                };
                if let Some(watch) = watch {
                    watch.note(frame.as_ref());
                }
                match (frame?, self.0.partial_response) {
                    (Ok(Frame::Warning(text)), PartialResponse::Abort) => {
                        let error = StoreError::new(ErrorKind::Unavailable, text);
                        Some((Err(named(&name, error)), None))
                    }
                    (Ok(frame), _) => Some((Ok(frame), Some(frames))),
                    (Err(error), PartialResponse::Abort) => Some((Err(named(&name, error)), None)),
                    (Err(error), PartialResponse::Warn) => {
                        Some((Ok(Frame::Warning(named(&name, error).message)), None))
                    }
                }
            }
        })
        .boxed()
    }

    /// As [`Questions::series`], for strings.
    pub(super) async fn strings(
        self,
        member: &Member,
        answer: BoxFuture<'static, Result<Strings, StoreError>>,
    ) -> Result<Strings, StoreError> {
        let silence_max = self.0.silence_max;
        let answer = timeout(silence_max, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(silent(silence_max)));
        match (answer, self.0.partial_response) {
            (Ok(mut answer), PartialResponse::Abort) if !answer.warnings.is_empty() => {
                let text = answer.warnings.swap_remove(0);
                let error = StoreError::new(ErrorKind::Unavailable, text);
                Err(named(&member.name, error))
            }
            (Ok(answer), _) => Ok(answer),
            (Err(error), PartialResponse::Abort) => Err(named(&member.name, error)),
            (Err(error), PartialResponse::Warn) => Ok(Strings {
                values: Vec::new(),
                warnings: vec![named(&member.name, error).message],
            }),
        }
    }
}

/// Reads an answer on a task of its own, a few frames ahead, so that members are decoded on all
/// cores and none waits for the one that is merged.
pub(super) fn ahead(mut frames: Frames) -> Frames {
    let (sender, receiver) = mpsc::channel(AHEAD_FRAMES);
    let task = Owned::spawn(async move {
        while let Some(frame) = frames.next().await {
            if sender.send(frame).await.is_err() {
                break;
            }
        }
    });
    stream::unfold(Some((receiver, task)), async |state| {
        let (mut receiver, task) = state?;
        if let Some(frame) = receiver.recv().await {
            return Some((frame, Some((receiver, task))));
        }
        // The end of an answer is the end of its task, unless that ended otherwise.
        let panic = task.await.err()?;
        Some((Err(StoreError::new(ErrorKind::Internal, panic)), None))
    })
    .boxed()
}

fn named(name: &str, error: StoreError) -> StoreError {
    StoreError::new(error.kind, format!("{name}: {}", error.message))
}

fn silent(silence_max: Duration) -> StoreError {
    StoreError::new(
        ErrorKind::Unavailable,
        format!("sent nothing for {silence_max:?}"),
    )
}
