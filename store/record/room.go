// Package record reads deliveries as lists and pages show them. It writes nothing.
package record
