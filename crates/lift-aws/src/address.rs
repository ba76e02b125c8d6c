//! In: a connection's id, host and stage as API Gateway gives them. Out: the one id by which an app knows it, and back.
//!
//! Who posts to a connection may run where no event says which API it belongs to: a worker has the
//! request's record alone. So the id that an app keeps names the endpoint too.

use lift::id::ConnectionId;

/// Where `@connections` has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The gateway's id: `O4AjK7WwAHSodnk=`.
    pub connection_id: &'a str,
    /// The API's host, `requestContext.domainName`.
    pub host: &'a str,
    /// The API's stage.
    pub stage: &'a str,
}

/// What is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// A part is missing.
    #[error("`{0}` is not of the form `{{connectionId}}@{{host}}/{{stage}}`")]
    Shape(String),
    /// The gateway's id is empty, or not of letters, digits and `+/=_-`.
    #[error("`{0}` is no connection's id at a gateway")]
    ConnectionId(String),
    /// The host is empty, or has what no host has.
    #[error("`{0}` is no host with or without a port")]
    Host(String),
    /// The stage is empty, or not of letters, digits and `_-$`.
    #[error("`{0}` is no stage")]
    Stage(String),
}

/// The id of a connection, endpoint included.
///
/// ```
/// let id = lift_aws::address::make("O4AjK7WwAHSodnk=", "abc.execute-api.eu-west-1.amazonaws.com", "prod")?;
/// assert_eq!(id.as_str(), "O4AjK7WwAHSodnk=@abc.execute-api.eu-west-1.amazonaws.com/prod");
/// # Ok::<(), lift_aws::address::AddressError>(())
/// ```
///
/// # Errors
/// A part is empty or has a character that would not come back from [`split`].
pub fn make(connection_id: &str, host: &str, stage: &str) -> Result<ConnectionId, AddressError> {
    let address = Address {
        connection_id,
        host,
        stage,
    };
    address.check()?;
    Ok(ConnectionId::new(format!("{connection_id}@{host}/{stage}")))
}

/// What [`make`] put together.
///
/// # Errors
/// The id was not made so.
pub fn split(id: &ConnectionId) -> Result<Address<'_>, AddressError> {
    let parts = || {
        let (connection_id, endpoint) = id.as_str().split_once('@')?;
        let (host, stage) = endpoint.split_once('/')?;
        Some(Address {
            connection_id,
            host,
            stage,
        })
    };
    let address = parts().ok_or_else(|| AddressError::Shape(id.as_str().to_owned()))?;
    address.check()?;
    Ok(address)
}

impl Address<'_> {
    fn check(&self) -> Result<(), AddressError> {
        type Wrong = fn(String) -> AddressError;
        let parts: [(&str, &[u8], Wrong); 3] = [
            (self.connection_id, b"+/=_-", AddressError::ConnectionId),
            (self.host, b".-:[]", AddressError::Host),
            (self.stage, b"_-$", AddressError::Stage),
        ];
        for (part, marks, wrong) in parts {
            let of_part = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
            if part.is_empty() || !part.bytes().all(of_part) {
                return Err(wrong(part.to_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_comes_apart_again() {
        for (connection_id, host, stage) in [
            (
                "O4AjK7WwAHSodnk=",
                "abc123.execute-api.eu-west-1.amazonaws.com",
                "prod",
            ),
            ("a/b+c==", "ws.example.com", "$default"),
            ("x", "127.0.0.1:8080", "v1_2-b"),
            ("x", "[::1]:8080", "dev"),
        ] {
            let id = make(connection_id, host, stage).unwrap();
            let expected = Address {
                connection_id,
                host,
                stage,
            };
            assert_eq!(split(&id), Ok(expected));
        }
    }

    #[test]
    fn parts_that_would_not_come_back_make_no_id() {
        for (connection_id, host, stage, expected) in [
            ("", "h", "s", AddressError::ConnectionId(String::new())),
            (
                "a@b",
                "h",
                "s",
                AddressError::ConnectionId("a@b".to_owned()),
            ),
            ("a", "h/x", "s", AddressError::Host("h/x".to_owned())),
            ("a", "u@h", "s", AddressError::Host("u@h".to_owned())),
            ("a", "", "s", AddressError::Host(String::new())),
            ("a", "h", "s/t", AddressError::Stage("s/t".to_owned())),
            ("a", "h", "s?q", AddressError::Stage("s?q".to_owned())),
            ("a", "h", "", AddressError::Stage(String::new())),
        ] {
            assert_eq!(make(connection_id, host, stage), Err(expected));
        }
    }

    #[test]
    fn ids_that_are_no_address_say_what_is_wrong() {
        let shape = |id: &str| AddressError::Shape(id.to_owned());
        for (id, expected) in [
            ("O4AjK7WwAHSodnk=", shape("O4AjK7WwAHSodnk=")),
            ("a@host", shape("a@host")),
            ("", shape("")),
            ("@h/s", AddressError::ConnectionId(String::new())),
            ("a@http://h/s", AddressError::Stage("/h/s".to_owned())),
            ("a@h/s/t", AddressError::Stage("s/t".to_owned())),
            ("a@h@i/s", AddressError::Host("h@i".to_owned())),
            ("a@h/s#f", AddressError::Stage("s#f".to_owned())),
            ("ä@h/s", AddressError::ConnectionId("ä".to_owned())),
        ] {
            assert_eq!(split(&ConnectionId::new(id)), Err(expected), "{id}");
        }
    }
}
