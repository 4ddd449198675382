package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"redrive/store/embedded"
	"redrive/store/storetest"
	"redrive/store/storetest/services"
)

// service is something that the command finds by an environment variable, which names its address or its program. A caller who sets the variable has his own.
type service struct {
	variable string
	packages []string    // Debian's names
	found    func() bool // its programs are there
	start    func(context.Context) (address string, stop func() error, err error)
}

var database = service{storetest.DatabaseVariable, []string{"postgresql-15"}, hasPostgres, startPostgres}

var brokers = []service{
	{services.RedisVariable, []string{"redis-server"}, isThere(services.FindRedis), startRedis},
	{services.RabbitMQVariable, []string{"rabbitmq-server"}, isThere(services.FindRabbitMQ), startRabbitMQ},
	{services.KafkaVariable, []string{"default-jre-headless", "maven"}, isThere(services.FindKafka), startKafka},
	{services.SSHDVariable, []string{"openssh-server"}, isThere(services.FindSSHD), named(services.FindSSHD)},
	{services.PgBouncerVariable, []string{"pgbouncer"}, isThere(services.FindPgBouncer), named(services.FindPgBouncer)},
}

// wanted are the services that the command needs and the caller has not named.
func wanted(tests []string) []service {
	all := []service{database}
	if slices.Contains(tests, servicesPackage) {
		all = append(all, brokers...)
	}
	return slices.DeleteFunc(all, func(s service) bool { return os.Getenv(s.variable) != "" })
}

// Packages that a test imports for what it needs of the machine.
const (
	servicesPackage = "redrive/store/storetest/services"
	toolsPackage    = "redrive/store/storetest/tools"
)

// needs asks go which of the packages above those under test look for. Any other command gets none.
func needs(args []string) []string {
	if !isGoTest(args) {
		return nil
	}
	out, err := exec.Command(args[0], append([]string{"list", "-test", "-deps", "-f", "{{.ImportPath}}"}, patterns(args)...)...).
		Output()
	if err != nil { // go test will report the error
		return []string{servicesPackage, toolsPackage}
	}
	return slices.DeleteFunc(strings.Fields(string(out)),
		func(path string) bool { return path != servicesPackage && path != toolsPackage })
}

// startAll starts services side by side and tells the command about them. Either all run or none.
func startAll(ctx context.Context, list []service) (stop func() error, err error) {
	stops := make([]func() error, len(list))
	addresses := make([]string, len(list))
	var group errgroup.Group
	for n, s := range list {
		group.Go(func() (err error) {
			addresses[n], stops[n], err = s.start(ctx)
			return err
		})
	}
	err = group.Wait()
	stop = func() error {
		var group errgroup.Group
		for _, stop := range stops {
			if stop != nil {
				group.Go(stop)
			}
		}
		return group.Wait()
	}
	for n, s := range list {
		if err == nil {
			err = os.Setenv(s.variable, addresses[n])
		}
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func isThere(find func() (string, error)) func() bool {
	return func() bool {
		_, err := find()
		return err == nil
	}
}

func hasPostgres() bool {
	_, err := embedded.FindBinaries("")
	return !errors.Is(err, embedded.ErrNoBinaries)
}

func startPostgres(ctx context.Context) (string, func() error, error) {
	server, stop, err := storetest.StartServer(ctx,
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		return "", nil, err
	}
	if err := os.Setenv(storetest.TemplateVariable, "template_run"); err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return server.DSN("postgres"), stop, nil
}

func startRedis(ctx context.Context) (string, func() error, error) {
	r, err := services.LaunchRedis(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("Redis for the tests: %w", err)
	}
	return r.Addr, r.Close, nil
}

// named starts nothing: each test has a server of its own, which is there in a tenth of a second.
func named(find func() (string, error)) func(context.Context) (string, func() error, error) {
	return func(context.Context) (string, func() error, error) {
		path, err := find()
		return path, nil, err
	}
}

func startRabbitMQ(ctx context.Context) (string, func() error, error) {
	r, err := services.LaunchRabbitMQ(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("RabbitMQ for the tests: %w", err)
	}
	return r.URL, r.Close, nil
}

// proxies is how many tests, of all packages, can break connections to Kafka at the same time: the others wait.
const proxies = 20

func startKafka(ctx context.Context) (string, func() error, error) {
	k, err := services.LaunchKafka(ctx, proxies)
	if err != nil {
		return "", nil, fmt.Errorf("Kafka for the tests: %w", err)
	}
	if err := os.Setenv(services.KafkaDescription, k.String()); err != nil {
		return "", nil, errors.Join(err, k.Close())
	}
	return strings.Join(k.Brokers, ","), k.Close, nil
}
