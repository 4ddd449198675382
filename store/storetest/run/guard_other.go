//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

const memoryDir = ""

func roomy(string) bool { return false }

func adopt() error { return nil }

func stopsWithParent() *syscall.SysProcAttr { return nil }

func reap(int) {}

func sweep(time.Duration) []string { return nil }

func throttle(slow bool) (string, func() error, error) {
	if slow {
		return "", nil, errors.New("a slow machine can be made on Linux only")
	}
	return "none", func() error { return nil }, nil
}

func enter(string) error { return nil }
