//! The HTTP face as a service for `tower`, `axum` and `hyper-util`.

use super::{HttpBody, HttpService};
use bytes::Bytes;
use freehold::{State, runtime::BoxFuture};
use http::{Request, Response};
use http_body::Body;
use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};
use tower_service::Service;

/// Always ready: what is too much is refused by the engine, with a hint when to come back. Layers in front see every request;
/// one that authenticates can put a [`Principal`](super::Principal) into its extensions.
///
/// The service answers at [`HttpOptions::path`](super::HttpOptions::path) only, and compares it with the whole path of the
/// request: mount it with `route_service`, which leaves that as it is. A program with its own `serve` should set TCP_NODELAY, as
/// [`HttpListener`](super::HttpListener) does: without it events wait for the client's delayed acknowledgements.
impl<S: State, B> Service<Request<B>> for HttpService<S>
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<HttpBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<HttpBody>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}
