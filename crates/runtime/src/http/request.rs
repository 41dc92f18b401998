//! A request, read whole.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method, header};

use super::form::{Form, FormError, header_parameter};

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, still percent-encoded.
    pub path: String,
    /// What follows the question mark, still encoded.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Who sent it, as far as the connection tells; nobody where there is no connection.
    pub peer: Option<IpAddr>,
    /// How long it waited for its place among those that are answered at once.
    pub waited: Duration,
    /// Whether somebody still waits for the answer.
    pub abandonment: Abandonment,
}

impl Request {
    /// The parameters of a form in the body, of either kind, then those of the query string.
    ///
    /// # Errors
    /// When either is not encoded as it must be.
    pub fn form(&self) -> Result<Form, FormError> {
        let mut form = Form::default();
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.filter(|_| self.method == Method::POST);
        let essence = content_type.and_then(|value| value.split(';').next());
        match essence
            .map(|essence| essence.trim().to_ascii_lowercase())
            .as_deref()
        {
            Some("application/x-www-form-urlencoded") => form.add_encoded(&self.body)?,
            Some("multipart/form-data") => {
                let boundary = header_parameter(content_type.unwrap_or_default(), "boundary");
                let boundary = boundary.filter(|boundary| !boundary.is_empty());
                let missing = FormError::Multipart("has no boundary in its Content-Type");
                form.add_parts(&self.body, &boundary.ok_or(missing)?)?;
            }
            _ => {}
        }
        form.add_encoded(self.query.as_bytes())?;
        Ok(form)
    }
}

/// Tells a handler that nobody waits for its answer any more. Clones speak of the same request.
#[derive(Clone, Default)]
pub struct Abandonment {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_abandoned: bool,
    callbacks: Vec<Box<dyn FnOnce() + Send>>,
}

impl Abandonment {
    /// Calls `stop` when the request is abandoned, or now if it is already.
    pub fn on_abandon(&self, stop: impl FnOnce() + Send + 'static) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_abandoned {
            drop(state);
            stop();
        } else {
            state.callbacks.push(Box::new(stop));
        }
    }

    /// Says that nobody waits any more.
    pub fn abandon(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_abandoned = true;
        let callbacks = std::mem::take(&mut state.callbacks);
        drop(state);
        for stop in callbacks {
            stop();
        }
    }
}

impl fmt::Debug for Abandonment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abandonment").finish_non_exhaustive()
    }
}
