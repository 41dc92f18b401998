//! Clients that connect and never begin TLS.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::*;
use crate::flags::ListenAddress;
use crate::grpc::{self, GrpcServerConfig, Readiness};
use crate::http::{self, HttpLimits};
use crate::process::Shutdown;
use crate::web_config::WebConfig;

/// How long a stop may take; a client has ten seconds to begin.
const SOON: Duration = Duration::from_secs(5);

fn tls() -> ServerTls {
    let file = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../storeapi/testdata/tls")
            .join(name)
    };
    ServerTls {
        identity: Identity {
            cert: file("server.pem"),
            key: file("server.key"),
        },
        client_ca: None,
        min_version: MinVersion::V13,
    }
}

/// How long a server at `address` goes on after it was told to stop, while a client is silent.
async fn stop_takes(address: SocketAddr, serve: impl AsyncFnOnce(Shutdown)) -> Duration {
    let (trigger, shutdown) = Shutdown::new();
    let stopping = async {
        let silent = TcpStream::connect(address).await.unwrap();
        // It is accepted, and its handshake begun.
        tokio::time::sleep(Duration::from_millis(200)).await;
        trigger.request();
        (silent, Instant::now())
    };
    let ((), (_silent, begin)) = tokio::join!(serve(shutdown), stopping);
    begin.elapsed()
}

#[tokio::test]
async fn a_stop_of_the_http_server_waits_for_nobody_who_is_silent() {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let server = http::Server::bind(&address, HttpLimits::default());
    let web = WebConfig::default().with_tls(tls());
    let server = server.await.unwrap().with_web(&web).unwrap();
    let address = server.local_addr().unwrap();
    let serve = async |shutdown| server.serve(http::Service::default(), shutdown).await;
    assert!(stop_takes(address, serve).await < SOON);
}

#[tokio::test]
async fn a_stop_of_the_grpc_server_waits_for_nobody_who_is_silent() {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let config = GrpcServerConfig {
        tls: Some(tls()),
        ..GrpcServerConfig::default()
    };
    let server = grpc::Server::bind(&address, config).await.unwrap();
    let address = server.local_addr().unwrap();
    let serve = async |shutdown| {
        let routes = tonic::service::Routes::default();
        server
            .serve(routes, Readiness::new(), shutdown)
            .await
            .unwrap();
    };
    assert!(stop_takes(address, serve).await < SOON);
}

#[tokio::test]
async fn a_certificate_may_be_expected_to_have_another_name_than_the_address() {
    let address = ListenAddress::parse("127.0.0.1:0").unwrap();
    let server = http::Server::bind(&address, HttpLimits::default());
    let web = WebConfig::default().with_tls(tls());
    let server = server.await.unwrap().with_web(&web).unwrap();
    let address = server.local_addr().unwrap();
    let (trigger, shutdown) = Shutdown::new();
    let greeted = |name: Option<&str>| {
        let client = ClientTls {
            ca: Some(tls().identity.cert.with_file_name("ca.pem")),
            identity: None,
            skip_verify: false,
            server_name: name.map(str::to_owned),
            min_version: MinVersion::V12,
        };
        tokio::task::spawn_blocking(move || {
            let config = client.load(Protocol::Http1, &mut Seen::default()).unwrap();
            // What the URL says, which is not in the certificate.
            let of_url = ServerName::try_from("elsewhere.example").unwrap();
            let mut connection = rustls::ClientConnection::new(Arc::new(config), of_url).unwrap();
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    return false;
                }
            }
            true
        })
    };
    let asking = async {
        let expected = greeted(Some("store.test")).await.unwrap();
        let not_in_it = greeted(Some("other.example")).await.unwrap();
        let of_url = greeted(None).await.unwrap();
        trigger.request();
        (expected, not_in_it, of_url)
    };
    let serving = server.serve(http::Service::default(), shutdown);
    let (_, found) = tokio::join!(serving, asking);
    assert_eq!(found, (true, false, false));
}
