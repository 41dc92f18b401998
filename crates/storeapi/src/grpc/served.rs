//! The services of a component, and reflection, which lists them and their messages for tools such as
//! `grpcurl`.

use std::convert::Infallible;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::Routes;

/// gRPC's own health service, which every server has.
const HEALTH: &str = "grpc.health.v1.Health";

/// Services over gRPC, to which reflection comes in the end.
#[derive(Debug, Clone, Default)]
pub struct Served {
    routes: Routes,
    names: Vec<&'static str>,
}

impl Served {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// All of them, and reflection by both of its protocols.
    pub fn finish(self) -> Routes {
        let described = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            let names = self.names.iter().copied().chain([HEALTH]);
            names.fold(builder, |builder, name| builder.with_service_name(name))
        };
        let sound = "what the compiler of the .proto files wrote can be read";
        let v1 = described().build_v1().expect(sound);
        let v1alpha = described().build_v1alpha().expect(sound);
        self.routes.add_service(v1).add_service(v1alpha)
    }
}
