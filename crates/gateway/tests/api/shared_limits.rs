//! Two gateways and a real Redis between them.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
};

use careeros_shared::testing::{self, TestUser};

use crate::support::TestGateway;

/// A Redis that ends with the test.
struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    fn start(port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = command.stdout(Stdio::null()).spawn();
        Self { port, child: child.expect("redis-server is installed: run scripts/setup.sh") }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a gateway says is left to `user`; `None` where nothing is.
async fn left(gateway: &TestGateway, user: &TestUser) -> Option<u32> {
    let answer = gateway.service.get(&user.token, &format!("/v1/profiles/{}", user.id)).await;
    let limit = answer.headers["ratelimit"].to_str().unwrap();
    let left = limit.split("r=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    match answer.status.as_u16() {
        200 => Some(left),
        429 => None,
        other => panic!("{other}: {}", answer.text),
    }
}

/// Waits until what one gateway counts is known to the other.
async fn share(first: &TestGateway, second: &TestGateway) {
    testing::eventually("the gateways count together", async || {
        let user = TestUser::student();
        let (one, two) = (left(first, &user).await, left(second, &user).await);
        let knows_two = |gateway: &TestGateway| gateway.throttle.gateways() == 2;
        matches!((one, two), (Some(one), Some(two)) if two < one) && knows_two(first) && knows_two(second)
    })
    .await;
}

/// How many of `tries` requests of `user` at each gateway are answered.
async fn answered(gateways: [&TestGateway; 2], user: &TestUser, tries: usize) -> [usize; 2] {
    let ask = async |gateway: &TestGateway| {
        let mut allowed = 0;
        for _ in 0..tries {
            allowed += usize::from(left(gateway, user).await.is_some());
        }
        allowed
    };
    let (first, second) = tokio::join!(ask(gateways[0]), ask(gateways[1]));
    [first, second]
}

#[tokio::test]
async fn two_gateways_share_one_exact_limit_and_divide_it_while_the_store_is_away() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut redis = Redis::start(free);
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let users: Vec<_> = (0..3).map(|_| TestUser::student()).collect();
    let known: Vec<_> = users.iter().collect();
    let settings = [("REDIS_URL", url.as_str()), ("THROTTLE_LIMIT", "10"), ("THROTTLE_TTL", "600")];
    let (first, second) = (TestGateway::start(&settings, &known).await, TestGateway::start(&settings, &known).await);
    share(&first, &second).await;

    let together: usize = answered([&first, &second], &users[0], 10).await.iter().sum();
    assert_eq!(together, 10, "ten of twenty requests");

    redis.kill();
    assert_eq!(answered([&first, &second], &users[1], 10).await, [5, 5], "each allows its half");

    let _redis = Redis::start(redis.port);
    share(&first, &second).await;
    let together: usize = answered([&first, &second], &users[2], 10).await.iter().sum();
    assert_eq!(together, 10, "one limit again");
}
