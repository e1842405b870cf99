//! The way to the upstream: its address, connections to it (TLS, proxy, time limit), and what of a head may pass.
//!
//! Must not know seats, tokens or counting.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::GatewayError;
use super::body::{BoxError, Upload};

/// The seat's key, and the host's.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How long an idle connection to the upstream is kept.
const IDLE: Duration = Duration::from_secs(30);
/// After how long a silence the system asks whether the other end is still there: streams have no other time limit.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Connections to an upstream.
pub(super) type UpstreamClient = Client<Timed<HttpsConnector<Dial>>, Upload>;

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    /// What stands before the request's own path; without a slash at its end.
    prefix: String,
}

impl Upstream {
    pub(super) fn parse(url: &str) -> Result<Self, GatewayError> {
        let wrong = |reason| GatewayError::Upstream {
            // Whatever stands before an `@` may be a password.
            url: match url.rsplit_once('@') {
                Some((_, rest)) => format!("..@{rest}"),
                None => url.to_owned(),
            },
            reason,
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong(
                "it does not begin with https:// or http:// and a host",
            ));
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(wrong("its scheme is neither https nor http"));
        }
        if authority.as_str().contains('@') {
            return Err(wrong(
                "it carries a user name; the key has a place of its own",
            ));
        }
        if authority.host().is_empty() {
            return Err(wrong("it names no host"));
        }
        let path = parts
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let prefix = path.path().trim_end_matches('/').to_owned();
        if prefix.ends_with("/v1") {
            return Err(wrong(
                "it ends in /v1, which requests bring themselves; leave it out",
            ));
        }
        Ok(Self {
            scheme,
            authority,
            prefix,
        })
    }

    /// The upstream's address for a request's path and query.
    pub(super) fn join(&self, path_and_query: &str) -> Result<Uri, hyper::http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.prefix))
            .build()
    }

    pub(super) fn is_plain_and_far(&self) -> bool {
        self.scheme == Scheme::HTTP && !self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// A client that connects within `limit`, TLS included, and through the proxy that the host's environment names.
    pub(super) fn client(&self, limit: Duration) -> Result<UpstreamClient, GatewayError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let proxy = if self.scheme == Scheme::HTTPS && !self.is_loopback() {
            self.join("/")
                .ok()
                .and_then(|uri| Matcher::from_env().intercept(&uri))
        } else {
            None
        };
        let dial = match proxy {
            None => Dial::Direct(tcp),
            Some(proxy) => {
                if proxy.uri().scheme() != Some(&Scheme::HTTP) {
                    return Err(GatewayError::Proxy);
                }
                let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                Dial::Proxy(match proxy.basic_auth() {
                    Some(auth) => tunnel.with_auth(auth.clone()),
                    None => tunnel,
                })
            }
        };
        let provider = || Arc::new(rustls::crypto::ring::default_provider());
        let tls = match HttpsConnectorBuilder::new().with_provider_and_native_roots(provider()) {
            Ok(tls) => tls,
            // A slim container has no certificates of its own.
            Err(_) => HttpsConnectorBuilder::new()
                .with_provider_and_webpki_roots(provider())
                .map_err(|error| GatewayError::Tls(error.to_string()))?,
        };
        let connector = Timed {
            inner: tls.https_or_http().enable_http1().wrap_connector(dial),
            limit,
        };
        Ok(Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector))
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

/// Takes out of a request's head what is not for the upstream: the connection's own headers, the host, the seat's
/// credentials, and the wish for compression, which would make the answer unreadable in passing.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    strip_connection(headers);
    for name in [HOST, X_API_KEY, AUTHORIZATION, ACCEPT_ENCODING, EXPECT] {
        headers.remove(name);
    }
}

/// Takes out the headers that concern one connection only.
pub(super) fn strip_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

/// Opens the TCP connection: to the upstream, or to a proxy that tunnels to it.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    Direct(HttpConnector),
    Proxy(Tunnel<HttpConnector>),
}

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl Service<Uri> for Dial {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Dial::Direct(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Dial::Proxy(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Dial::Direct(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async { Ok(connecting.await?) })
            }
            Dial::Proxy(tunnel) => {
                let connecting = tunnel.call(uri);
                Box::pin(async { Ok(connecting.await?) })
            }
        }
    }
}

/// A connector with a time limit over all of it: names, TCP, proxy and TLS.
#[derive(Clone, Debug)]
pub(super) struct Timed<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Connecting<C::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err(format!("no connection within {limit:?}").into()),
            }
        })
    }
}
