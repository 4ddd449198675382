package config

// The file as written. Pointers tell "not given" from "zero".
type rawFile struct {
	Network      rawNetwork       `yaml:"network"`
	Integrations []rawIntegration `yaml:"integrations"`
}

type rawNetwork struct {
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

type rawIntegration struct {
	Name        string         `yaml:"name"`
	Description string         `yaml:"description"`
	Method      string         `yaml:"method"`
	Subscribe   []string       `yaml:"subscribe"`
	Destination rawDestination `yaml:"destination"`
	Idempotent  bool           `yaml:"idempotent"`
	Ordered     bool           `yaml:"ordered"`
	Retry       rawRetry       `yaml:"retry"`
	OnFailure   string         `yaml:"on_failure"`
	Concurrency *int           `yaml:"concurrency"`
	Mask        []string       `yaml:"mask"`
	Pool        map[string]any `yaml:"pool"`
	Broker      map[string]any `yaml:"broker"`
	Batch       map[string]any `yaml:"batch"`
	CDC         map[string]any `yaml:"cdc"`
}

type rawDestination struct {
	HTTP     *rawHTTP       `yaml:"http"`
	Kafka    map[string]any `yaml:"kafka"`
	RabbitMQ map[string]any `yaml:"rabbitmq"`
	Redis    map[string]any `yaml:"redis"`
	File     map[string]any `yaml:"file"`
	Table    map[string]any `yaml:"table"`
}

type rawHTTP struct {
	URL     string            `yaml:"url"`
	Method  string            `yaml:"method"`
	Headers map[string]string `yaml:"headers"`
	Secret  string            `yaml:"secret"`
	Timeout string            `yaml:"timeout"`
}

type rawRetry struct {
	Attempts *int     `yaml:"attempts"`
	Backoff  []string `yaml:"backoff"`
	Jitter   string   `yaml:"jitter"`
}
