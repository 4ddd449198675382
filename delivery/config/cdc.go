package config

import "redrive/delivery"

type rawCDC struct {
	URL         string        `yaml:"url"`
	Publication string        `yaml:"publication"`
	Slot        string        `yaml:"slot"`
	Snapshot    bool          `yaml:"snapshot"`
	Heartbeat   string        `yaml:"heartbeat"`
	Alarm       string        `yaml:"alarm"` // bytes, such as 256MB
	Tables      []rawCDCTable `yaml:"tables"`
}

type rawCDCTable struct {
	Table      string   `yaml:"table"`
	Operations []string `yaml:"operations"`
	Columns    []string `yaml:"columns"`
	When       string   `yaml:"when"`
	Type       string   `yaml:"type"`
	Key        string   `yaml:"key"`
	Payload    string   `yaml:"payload"`
	To         []string `yaml:"to"`
	Publish    bool     `yaml:"publish"`
}

func (c *checker) cdc(i int, r rawIntegration) *delivery.CDCSource {
	if r.Method != string(delivery.MethodCDC) {
		return nil
	}
	c.fail(at(i, "method"), "method: cdc is being built")
	return nil
}
