package embedded

// ScrubbedEnv is what Postgres gets of the caller's environment.
var ScrubbedEnv = scrubbedEnv
