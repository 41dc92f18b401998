//! The gateway's administration: whether it is there, and making it refuse what is sent to it, as one
//! does before it is taken out of use. It knows no passwords, so it belongs on loopback.

use runtime::http::{Cost, Handler, Method, Origins, Request, Response, StatusCode};

use super::answer::plain;
use super::gateway::Switch;

/// The endpoints.
#[derive(Debug)]
pub struct Admin {
    switch: Switch,
}

impl Admin {
    /// The administration of the gateway that has this switch.
    pub fn new(switch: Switch) -> Self {
        Self { switch }
    }
}

impl Handler for Admin {
    fn cost(&self, _: &str) -> Cost {
        Cost::Small
    }

    fn handle(&self, request: Request) -> Response {
        if request.method != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed");
        }
        // The protocol changes something by GET, which any page can have a browser send.
        let refusal = Origins::Own.refusal(&Method::POST, &request.headers);
        if let Some(refusal) = refusal.filter(|_| request.path.starts_with("/cmd/")) {
            return Response::text(StatusCode::FORBIDDEN, &refusal);
        }
        match request.path.as_str() {
            "/ok" => plain(StatusCode::OK, "online"),
            "/cmd/down" => self.refuse(true),
            "/cmd/up" => self.refuse(false),
            _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }
}

impl Admin {
    fn refuse(&self, refuse: bool) -> Response {
        tracing::info!(refuse, "lookout gateway was told what to do with requests");
        self.switch.refuse(refuse);
        plain(StatusCode::OK, "ok")
    }
}
