# Every target sets up what it needs itself; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(PATH):/usr/local/go/bin

STARTER := .cache/test-starter
TESTFLAGS ?=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

.PHONY: run
run: build ## start console, engine, embedded Postgres and the demo
	REDRIVE_DEMO=1 ./bin/redrive serve

.PHONY: build
build: ## build bin/redrive
	go build -trimpath -o bin/redrive .

.PHONY: starter
starter:
	go build -o $(STARTER) ./store/storetest/run

# A package that hangs ends in time for those who wait for the run; a machine a third as fast needs less. Most packages wait a good part of
# their time, so that three at once keep two processors busy. Nobody debugs these programs, and the compiler collects less of its garbage:
# that spares a quarter of their making. go vet is a step of its own (make lint, .ci/run).
TESTS = go test -count=1 -timeout 30m -p $(AT_ONCE) -parallel 4 -vet=off -toolexec='env GOGC=400' -gcflags=-dwarf=false -ldflags=-w $(TESTFLAGS) ./...
AT_ONCE := 3

.PHONY: test
test: starter ## run all tests against private Postgres, Redis, RabbitMQ, Kafka and sshd; TESTFLAGS=-race, TESTFLAGS='-run Name' and the like are passed on
	./$(STARTER) -- $(TESTS)

.PHONY: test-slow
test-slow: AT_ONCE := 2
test-slow: starter ## the same with a third of two processors and two busy loops beside it: what is green there does not depend on who is faster
	./$(STARTER) -slow -- $(TESTS)

.PHONY: sbom
sbom: build ## write bin/redrive.cdx.json, the bill of materials (CycloneDX) of the program
	./bin/redrive sbom > bin/redrive.cdx.json

.PHONY: bench
bench: build ## measure deliveries per second and latency, then the same work done by River
	./bin/redrive bench
	cd internal/bench/river && go run .

.PHONY: bench-kafka
bench-kafka: starter ## measure source and destination of Kafka beside bare loops, and a share group by several processes
	./.cache/test-starter -- go test -run '^$$' -bench Kafka -benchtime 5x ./delivery/broker ./delivery/send/kafka
	./.cache/test-starter -- go test -run '^$$' -bench Drain -benchtime 3x ./delivery/broker

.PHONY: bench-triage
bench-triage: build ## measure the desk with 5,000,000 settled and 250,000 open failures (15 min, 7 GB)
	./bin/redrive bench triage

.PHONY: lint
lint: ## vet, linters, formatting, freshness of generated files
	go vet ./...
	cd internal/bench/river && go vet ./...
	go tool -modfile=internal/tools/go.mod golangci-lint run ./...
	@unformatted="$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)"; \
	if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	@before="$$(git ls-files -co --exclude-standard '*_templ.go' | xargs -r sha256sum)"; \
	$(MAKE) --no-print-directory generate; \
	after="$$(git ls-files -co --exclude-standard '*_templ.go' | xargs -r sha256sum)"; \
	if [ "$$before" != "$$after" ]; then echo "generated files were stale, commit them:"; git status --short -- '*_templ.go'; exit 1; fi

.PHONY: generate
generate: ## generate Go from the templ files
	go tool templ generate
