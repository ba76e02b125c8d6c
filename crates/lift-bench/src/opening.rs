//! A behaviour's target and headers come in, what each of its clients says in its handshake goes out.

use http::HeaderName;
use streamer_client::options::{Options, Token};

use crate::{
    payload::{Ids, Known, Template},
    scenario::{Behaviour, Scenario, header_value, target_url},
};

/// How clients of one behaviour connect.
#[derive(Debug)]
pub(crate) struct Opening {
    url: Template,
    headers: Vec<(HeaderName, Template)>,
}

impl Opening {
    /// # Errors
    /// A template that cannot be rendered, or of which comes what cannot be connected with.
    pub(crate) fn new(
        target: &str,
        scenario: &Scenario,
        behaviour: &Behaviour,
        example: Known<'_>,
    ) -> Result<Self, String> {
        target_url(target).map_err(|problem| problem.to_string())?;
        let mut headers = scenario.headers.clone();
        headers.extend(behaviour.headers.clone());
        let headers = headers.iter().map(|(name, text)| {
            let template = Template::new(text, Ids::Bare, example)
                .map_err(|problem| format!("the header `{name}`: {problem}"))?;
            let read = name.parse::<HeaderName>();
            Ok((read.map_err(|error| error.to_string())?, template))
        });
        let opening = Self {
            url: Template::new(target, Ids::Bare, example)?,
            headers: headers.collect::<Result<_, String>>()?,
        };
        let mut options = opening.options(example)?;
        if scenario.tokens.is_some() {
            options.token = Some(Token::fixed(""));
        }
        options.check().map_err(|error| error.to_string())?;
        Ok(opening)
    }

    /// # Errors
    /// Something of it cannot be rendered, or is no value of a header.
    pub(crate) fn options(&self, known: Known<'_>) -> Result<Options, String> {
        // No message has been sent yet.
        let known = Known { seq: 0, ..known };
        let mut options = Options::new(self.url.render(known)?);
        for (name, template) in &self.headers {
            let value = header_value(&template.render(known)?)
                .map_err(|why| format!("the header `{name}`: its value {why}"))?;
            options.headers.insert(name, value);
        }
        Ok(options)
    }
}
