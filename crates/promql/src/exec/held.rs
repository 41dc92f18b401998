//! What a query holds and leaves behind when it ends early.

use std::ops::{Deref, DerefMut};

use crate::executor::Executor;

use super::Context;

/// Holds what takes long to drop. What is not taken out is left to the executor to drop.
pub(crate) struct Held<'q, T: Send + 'static> {
    /// Gone once it is taken out.
    value: Option<T>,
    executor: &'q dyn Executor,
}

impl<'q, T: Send + 'static> Held<'q, T> {
    pub(crate) fn new(value: T, ctx: &Context<'q>) -> Self {
        Self {
            value: Some(value),
            executor: ctx.executor,
        }
    }

    /// Takes it out.
    pub(crate) fn into_inner(mut self) -> T {
        self.value.take().expect(PRESENT)
    }
}

const PRESENT: &str = "a value stays until its holder is consumed";

impl<T: Send + 'static> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(PRESENT)
    }
}

impl<T: Send + 'static> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(PRESENT)
    }
}

impl<T: Send + 'static> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.executor.discard(Box::new(value));
        }
    }
}
