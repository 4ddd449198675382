using System;
using System.Threading;
using System.Threading.Tasks;
using GreenPipes;
using MassTransit;

namespace Shop
{
    public interface OrderPlaced
    {
        int Order { get; }
        string Way { get; }
    }

    public interface NobodyWants
    {
        int Order { get; }
    }

    class OrderConsumer : IConsumer<OrderPlaced>
    {
        public static bool Mended;

        public Task Consume(ConsumeContext<OrderPlaced> context)
        {
            if (Mended)
            {
                Console.WriteLine($"consumed {context.Message.Order} {context.Message.Way}, id {context.MessageId}");
                return Task.CompletedTask;
            }
            switch (context.Message.Way)
            {
                case "inner":
                    throw new InvalidOperationException("the order could not be billed", new ArgumentException("no such shop: 17"));
                case "lines":
                    throw new FormatException("it said \"no such shop\":\r\n  line 2, Ünïcode\n  line 3");
                case "empty":
                    throw new Exception("");
                case "many":
                    throw new AggregateException("several", new ArgumentException("no such shop: 17"), new TimeoutException("too late"));
                default:
                    throw new InvalidOperationException("no such shop: 17");
            }
        }
    }

    /// <summary>
    /// Lets a consumer of MassTransit 7.3.1 fail in several ways after two retries, sends an empty message and one that its endpoint has no
    /// consumer for, and prints what stands in the queues _error and _skipped then. The argument is the address of a broker without these queues. With
    /// "again" behind it, it consumes what comes back to the queue, and says so, until it is ended.
    ///
    ///   dotnet run --project masstransit amqp://guest:guest@127.0.0.1:5672/
    /// </summary>
    static class Program
    {
        static async Task Main(string[] args)
        {
            var broker = new Uri(args[0]);
            OrderConsumer.Mended = args.Length > 1;
            var bus = Bus.Factory.CreateUsingRabbitMq(c =>
            {
                c.Host(broker);
                c.ReceiveEndpoint("order-placed", e =>
                {
                    e.UseMessageRetry(r => r.Immediate(2));
                    e.Consumer<OrderConsumer>();
                });
            });
            await bus.StartAsync();
            if (OrderConsumer.Mended)
            {
                await Task.Delay(Timeout.Infinite);
            }
            var endpoint = await bus.GetSendEndpoint(new Uri("queue:order-placed"));
            await endpoint.Send<OrderPlaced>(new { Order = 1, Way = (string)null }, c => c.CorrelationId = NewId.NextGuid());
            foreach (var way in new[] { "inner", "lines", "empty", "many" })
            {
                await endpoint.Send<OrderPlaced>(new { Order = 1, Way = way }, c => c.Headers.Set("tenant", "north"));
            }
            Letters.Post(broker, "order-placed", "");
            await endpoint.Send<NobodyWants>(new { Order = 2 });
            await Task.Delay(TimeSpan.FromSeconds(5));
            await bus.StopAsync();
            Letters.Print(broker, "order-placed_error");
            Letters.Print(broker, "order-placed_skipped");
        }
    }
}
