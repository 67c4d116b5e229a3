//! An MCP server inside of an axum application that has other routes, with tower layers in front of it.
//!
//! `cargo run -p freehold-mcp --example in_axum`, then `http://127.0.0.1:8080/mcp` is the endpoint.

use axum::{
    Router, error_handling::HandleErrorLayer, http::StatusCode, routing::get, serve::ListenerExt as _,
};
use freehold_mcp::{
    Audience, Authorization, AuthorizeError, HttpOptions, HttpService, McpServer, MemoryEventStore,
    Principal, Resumption, Tool, ToolContext, ToolError,
};
use std::{error::Error, sync::Arc};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder};

/// On whose behalf it is called.
async fn whoami(ctx: &ToolContext, (): ()) -> Result<String, ToolError> {
    Ok(ctx.principal().map_or("nobody", |principal| &principal.subject).to_owned())
}

/// Stands for what verifies the signature, issuer, audience and expiry of a token, or asks the authorization server.
async fn check(token: String) -> Result<Principal, AuthorizeError> {
    match token.as_str() {
        "the-token-of-alice" => Ok(Principal::new("alice", Audience::Verified).with_scopes(["tools"])),
        _ => Err(AuthorizeError::Invalid("it is unknown".into())),
    }
}

/// The application: its own routes, and the endpoint.
fn app(mcp: HttpService) -> Router {
    let overloaded = |_: BoxError| async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]) };
    let layers =
        ServiceBuilder::new().layer(HandleErrorLayer::new(overloaded)).load_shed().concurrency_limit(1_024);
    Router::new()
        .route("/health", get(|| async { "well" }))
        .route_service("/mcp", ServiceBuilder::new().layer(layers).service(mcp.clone()))
        // Where clients find out which authorization server to ask for a token.
        .route_service("/.well-known/oauth-protected-resource", mcp.clone())
        .route_service("/.well-known/oauth-protected-resource/{*path}", mcp)
}

fn service() -> Result<HttpService, Box<dyn Error>> {
    let server = McpServer::builder("in-axum", "1.0.0")
        .tool(Tool::new("whoami", "Says on whose behalf it is called.", whoami))
        .build()?;
    let authorization =
        Authorization::new("http://127.0.0.1:8080/mcp", ["https://as.example.com"], check)?.scopes(["tools"]);
    let options = HttpOptions {
        authorization: Some(authorization),
        resumption: Some(Resumption::new(Arc::new(MemoryEventStore::default()))),
        ..HttpOptions::default()
    };
    Ok(HttpService::new(server, options))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Without it events wait for the client's delayed acknowledgements.
    let listener = TcpListener::bind("127.0.0.1:8080").await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app(service()?)).await?)
}

#[cfg(test)]
mod tests {
    use super::{app, service};
    use axum::{
        Router,
        body::{Body, to_bytes},
    };
    use http::{Request, Response, StatusCode};
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    async fn exchange(app: &Router, request: Request<Body>) -> (Response<()>, Vec<u8>) {
        let response = app.clone().oneshot(request).await.expect("it is infallible");
        let (head, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("the body comes whole");
        (Response::from_parts(head, ()), body.to_vec())
    }

    fn post() -> http::request::Builder {
        Request::post("/mcp")
            .header("host", "127.0.0.1:8080")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
    }

    #[tokio::test]
    async fn other_routes_the_endpoint_and_its_metadata_live_side_by_side() {
        let app = app(service().unwrap());
        let health = exchange(&app, Request::get("/health").body(Body::empty()).unwrap()).await;
        assert_eq!(health.1, b"well");

        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
        let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
        let refused = exchange(&app, post().body(Body::from(initialize.to_string())).unwrap()).await.0;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
        let url = "http://127.0.0.1:8080/.well-known/oauth-protected-resource/mcp";
        assert_eq!(challenge, format!("Bearer resource_metadata=\"{url}\", scope=\"tools\""));

        let metadata = Request::get(url).header("host", "127.0.0.1:8080").body(Body::empty()).unwrap();
        let metadata: Value = serde_json::from_slice(&exchange(&app, metadata).await.1).unwrap();
        assert_eq!(metadata["authorization_servers"], json!(["https://as.example.com"]));

        let authorized = || post().header("authorization", "Bearer the-token-of-alice");
        let opened = exchange(&app, authorized().body(Body::from(initialize.to_string())).unwrap()).await.0;
        assert_eq!(opened.status(), StatusCode::OK);
        let session = opened.headers()["mcp-session-id"].clone();
        let call =
            json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "whoami" } });
        let call = authorized().header("mcp-session-id", session).body(Body::from(call.to_string())).unwrap();
        let answer: Value = serde_json::from_slice(&exchange(&app, call).await.1).unwrap();
        assert_eq!(answer["result"]["content"][0]["text"], "alice");
    }
}
