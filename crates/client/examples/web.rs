//! A web service of axum that counts its visits in Redis, through whatever happens to the master.
//!
//! ```text
//! cargo run -p redis-failover --example web -- redis+zk://localhost:2181/redis/cluster 127.0.0.1:8080
//! ```
//!
//! The client is the pool: it keeps one TCP connection open to each node, over which the commands of all requests leave
//! without waiting for each other. Each request takes a connection of its own from it, which costs next to nothing.

use std::error::Error;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, serve};
use redis_failover::redis::{AsyncCommands, RedisError};
use redis_failover::{Builder, Client, Connection, Outcome, outcome};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL: redis+zk://HOST:PORT/PATH")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // A caller of a web page does not wait for ten seconds.
    let client = Builder::from_url(&url)?.wait_limit(Duration::from_secs(2)).build()?;
    let routes = Router::new().route("/visits/{page}", get(visit)).route("/health", get(health));
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener, routes.with_state(client)).await?;
    Ok(())
}

/// A connection for each request that asks for one.
struct Redis(Connection);

impl FromRequestParts<Client> for Redis {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, client: &Client) -> Result<Self, Self::Rejection> {
        Ok(Self(client.connection()))
    }
}

async fn visit(Redis(mut redis): Redis, Path(page): Path<String>) -> Result<String, Failure> {
    let visits: i64 = redis.incr(format!("visits:{page}"), 1).await?;
    Ok(format!("{page} was visited {visits} times\n"))
}

/// Whether this service can write, and what it has seen.
async fn health(State(client): State<Client>) -> (StatusCode, String) {
    let (metrics, master) = (client.metrics(), client.current_master());
    let status = if master.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let master = master.map_or_else(|| "none".to_owned(), |master| master.to_string());
    (status, format!("master: {master}\nunknown outcomes: {}\n", metrics.unknown))
}

/// An error of Redis as the one who calls sees it. What it says stays in the log.
struct Failure(RedisError);

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("{}", self.0);
        match outcome(&self.0) {
            // Nothing was counted: who calls may try again.
            Outcome::NotExecuted => {
                let again = [(header::RETRY_AFTER, "1")];
                (StatusCode::SERVICE_UNAVAILABLE, again, "try again\n").into_response()
            }
            // The visit may have been counted.
            Outcome::Unknown => (StatusCode::BAD_GATEWAY, "nobody knows\n").into_response(),
            Outcome::Executed => (StatusCode::INTERNAL_SERVER_ERROR, "it failed\n").into_response(),
        }
    }
}
