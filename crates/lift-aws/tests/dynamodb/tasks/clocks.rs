//! In: environments whose clocks are five minutes off. Out: whether they agree about leases, from their first call on.

use std::time::Duration;

use lift::clock::Timestamp;
use lift::task::record::{NewTask, State};
use lift::task::store::TaskStore as _;
use lift::task::transition::{Applied, Refusal, Transition};
use lift_aws::dynamodb::tasks::DynamoTasks;
use lift_aws_client::client::{Client as AwsClient, Roots};
use lift_aws_client::clock::ServerClock;
use lift_aws_client::sigv4::Credentials;
use lift_dev::dynamodb::Client;

use super::{LEASE, claim, finish, task};
use crate::tables::{local, table};

const WRONG_MS: [i64; 2] = [-300_000, 300_000];

/// A process whose clock is wrong by so much until a server tells it the time.
struct Environment {
    clock: ServerClock,
    tasks: DynamoTasks,
}

impl Environment {
    fn new(wrong_ms: i64, endpoint: &str, [requests, bodies]: &[String; 2]) -> Self {
        let credentials = Credentials {
            access_key: "local".to_owned(),
            secret_key: "local".to_owned(),
            session_token: None,
        };
        let clock = ServerClock::skewed_by(wrong_ms);
        let aws = AwsClient::new("eu-west-1", credentials, &Roots::Public, clock.clone());
        let client = Client::over(&aws.unwrap(), endpoint).unwrap();
        let tasks = DynamoTasks::new(client, requests, bodies);
        Self { clock, tasks }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now_ms())
    }

    async fn applied(&self, new: &NewTask, transition: Transition) -> Applied {
        let now = self.now();
        self.tasks.apply(&new.key, transition, now).await.unwrap()
    }
}

#[tokio::test]
async fn a_lease_is_respected_by_environments_whose_clocks_are_five_minutes_off() {
    let Some(local) = local().await else { return };
    let client = local.client("eu-west-1").unwrap();
    let tables = [
        table(&client, "RequestsTable").await,
        table(&client, "BodiesTable").await,
    ];
    let environment = |wrong_ms| Environment::new(wrong_ms, local.endpoint(), &tables);
    for (n, wrong_ms) in (1..).zip(WRONG_MS) {
        let right = environment(0);
        let new = NewTask {
            // A server tells whole seconds.
            created_at: right.now() - Duration::from_secs(3),
            ..task(n)
        };
        right.tasks.put(new.clone()).await.unwrap();

        let first = environment(wrong_ms);
        let Applied::Done(claimed) = first.applied(&new, claim()).await else {
            panic!("what is due is not claimed by a clock that is {wrong_ms} ms off");
        };
        let again = Transition::Renew {
            claim: 1,
            lease: LEASE,
            progress: None,
            checkpoint: None,
        };
        let Applied::Done(renewed) = first.applied(&new, again).await else {
            panic!("{claimed:?} is not renewed");
        };
        let ends = renewed.due_at.unwrap();
        let apart = ends.since(right.now()).abs_diff(LEASE);
        assert!(apart < Duration::from_secs(4), "{wrong_ms}: {apart:?}");

        for other_ms in [0, -wrong_ms, wrong_ms] {
            let other = environment(other_ms);
            let refused = other.applied(&new, claim()).await;
            let held =
                matches!(&refused, Applied::Refused(Refusal::NotDue, record) if record.claim == 1);
            assert!(held, "{wrong_ms}, {other_ms}: {refused:?}");
            assert!(
                other
                    .tasks
                    .due(other.now(), None, 10)
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
        let Applied::Done(ended) = first.applied(&new, finish(1)).await else {
            panic!("{renewed:?} is not ended");
        };
        assert_eq!((ended.state, ended.claim), (State::Completed, 1));
    }
}
