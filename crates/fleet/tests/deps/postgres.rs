use std::mem;
use std::net::TcpListener;

use careeros_fleet::net::{Port, PortInUse};
use careeros_fleet::postgres::{Options, Postgres};
use rustix::process::{Signal, kill_process, test_kill_process};
use sqlx::Connection as _;

use crate::support::{connect, directory, durable_postgres, open, postgres, postmaster};

async fn remember(server: &Postgres, note: &str) {
    let mut connection = connect(&server.superuser_url("postgres")).await.unwrap();
    sqlx::raw_sql("create table if not exists note (text text not null)").execute(&mut connection).await.unwrap();
    sqlx::query("insert into note (text) values ($1)").bind(note).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn recall(server: &Postgres) -> Vec<String> {
    let mut connection = connect(&server.superuser_url("postgres")).await.unwrap();
    sqlx::query_scalar("select text from note order by text").fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn data_outlives_a_stop_and_a_start() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    remember(&server, "kept").await;
    server.stop().await.unwrap();
    assert!(!data.path().join("postgres/postmaster.pid").exists(), "the server left its pid file");
    let again = postgres(&data).await;
    assert_eq!(recall(&again).await, ["kept"]);
}

#[tokio::test]
async fn server_killed_with_its_data_open_starts_again_with_it() {
    let directory = directory();
    let data = open(&directory);
    let mut server = durable_postgres(&data).await;
    remember(&server, "kept").await;
    kill_process(postmaster(&data.path().join("postgres")), Signal::KILL).unwrap();
    let error = server.ended().await.to_string();
    assert!(error.contains("PostgreSQL ended (signal: 9"), "{error}");
    let again = postgres(&data).await;
    assert_eq!(recall(&again).await, ["kept"]);
}

#[tokio::test]
async fn server_left_running_by_a_killed_launcher_is_replaced() {
    let directory = directory();
    let data = open(&directory);
    let orphan = postgres(&data).await;
    remember(&orphan, "kept").await;
    let pid = postmaster(&data.path().join("postgres"));
    // A killed launcher runs no destructor.
    mem::forget(orphan);
    let server = postgres(&data).await;
    assert_ne!(postmaster(&data.path().join("postgres")), pid);
    assert_eq!(recall(&server).await, ["kept"]);
}

#[tokio::test]
async fn dropped_server_ends() {
    let directory = directory();
    let data = open(&directory);
    let server = postgres(&data).await;
    let pid = postmaster(&data.path().join("postgres"));
    drop(server);
    assert!(!data.path().join("postgres/postmaster.pid").exists());
    assert!(test_kill_process(pid).is_err(), "process {pid} still runs");
}

#[tokio::test]
async fn stale_pid_file_of_a_process_long_gone_does_not_stop_the_start() {
    let directory = directory();
    let data = open(&directory);
    postgres(&data).await.stop().await.unwrap();
    // This test's own process took the number: PostgreSQL alone would refuse to start.
    let stale = format!("{}\n{}\n0\n1\n\n127.0.0.1\n", std::process::id(), data.path().display());
    std::fs::write(data.path().join("postgres/postmaster.pid"), stale).unwrap();
    postgres(&data).await.stop().await.unwrap();
}

#[tokio::test]
async fn taken_port_is_reported_with_its_holder_and_the_variable_to_set() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let directory = directory();
    let port = Port::Fixed { number, variable: "CAREEROS_POSTGRES_PORT" };
    let options = Options { port, durable: false, max_connections: 20 };
    let error = Postgres::start(&open(&directory), options).await.unwrap_err();
    let in_use = error.downcast_ref::<PortInUse>().expect("a port error");
    assert_eq!((in_use.number, in_use.variable), (number, "CAREEROS_POSTGRES_PORT"));
    #[cfg(target_os = "linux")]
    assert_eq!(in_use.holder.as_ref().map(|holder| holder.pid), Some(std::process::id()));
}

#[tokio::test]
async fn cluster_of_another_major_version_is_refused_and_left_alone() {
    let directory = directory();
    let data = open(&directory);
    postgres(&data).await.stop().await.unwrap();
    std::fs::write(data.path().join("postgres/PG_VERSION"), "9\n").unwrap();
    let options = Options { port: Port::Any, durable: false, max_connections: 20 };
    let error = Postgres::start(&data, options).await.unwrap_err().to_string();
    assert!(error.contains("is of PostgreSQL 9"), "{error}");
    assert!(data.path().join("postgres/base").is_dir());
}

#[tokio::test]
async fn superuser_needs_the_password() {
    let directory = directory();
    let server = postgres(&open(&directory)).await;
    let url = server.url("postgres", &"wrong".to_owned().into(), "postgres");
    let error = connect(&url).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "28P01");
}
