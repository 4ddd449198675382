using System;
using System.Threading;
using System.Threading.Tasks;
using NServiceBus;
using NServiceBus.Logging;

namespace Shop
{
    public class PlaceOrder : ICommand
    {
        public int Order { get; set; }
        public string Way { get; set; }
    }

    public class Handler : IHandleMessages<PlaceOrder>
    {
        public static bool Mended;

        public Task Handle(PlaceOrder message, IMessageHandlerContext context)
        {
            if (Mended)
            {
                Console.WriteLine($"handled {message.Order} {message.Way}, id {context.MessageId}, tenant {context.MessageHeaders["tenant"]}");
                return Task.CompletedTask;
            }
            switch (message.Way)
            {
                case "inner":
                    try
                    {
                        throw new ArgumentException("no such shop: 17");
                    }
                    catch (Exception e)
                    {
                        throw new InvalidOperationException("the order could not be billed", e) { HelpLink = "https://shop.example/help" };
                    }
                case "lines":
                    throw new FormatException("it said \"no such shop\":\r\n  line 2, Ünïcode\n  line 3");
                case "empty":
                    throw new Exception("");
                case "many":
                    throw new AggregateException("several", new ArgumentException("no such shop: 17"), new TimeoutException("too late"));
                default:
                    throw new InvalidOperationException("no such shop: 17") { Data = { ["shop"] = 17, ["none"] = null } };
            }
        }
    }

    /// <summary>
    /// Lets a handler of NServiceBus 7.8.0 with NServiceBus.RabbitMQ 6.1.6 fail in several ways after an immediate and a delayed retry,
    /// sends a message that is no XML, and prints what stands in the queue error then. The argument is the address of a broker without these queues. With "again" behind it, it
    /// handles what comes back to the queue, and says so, until it is ended.
    ///
    ///   dotnet run --project nservicebus amqp://guest:guest@127.0.0.1:5672/
    /// </summary>
    static class Program
    {
        static async Task Main(string[] args)
        {
            var broker = new Uri(args[0]);
            var (user, password) = (broker.UserInfo.Split(':')[0], Uri.UnescapeDataString(broker.UserInfo.Split(':')[1]));
            Handler.Mended = args.Length > 1;
            var configuration = new EndpointConfiguration("Shop.Billing");
            configuration.EnableInstallers();
            configuration.SendFailedMessagesTo("error");
            configuration.UseTransport<RabbitMQTransport>().UseConventionalRoutingTopology()
                .ConnectionString($"host={broker.Host};port={broker.Port};username={user};password={password}");
            configuration.Recoverability().Immediate(r => r.NumberOfRetries(1));
            configuration.Recoverability().Delayed(r => r.NumberOfRetries(1).TimeIncrease(TimeSpan.FromSeconds(1)));
            LogManager.Use<DefaultFactory>().Level(LogLevel.Fatal);
            var endpoint = await Endpoint.Start(configuration);
            if (Handler.Mended)
            {
                await Task.Delay(Timeout.Infinite);
            }
            foreach (var way in new[] { null, "inner", "lines", "empty", "many" })
            {
                var options = new SendOptions();
                options.RouteToThisEndpoint();
                options.SetHeader("tenant", "north");
                await endpoint.Send(new PlaceOrder { Order = 1, Way = way }, options);
            }
            Letters.Post(broker, "Shop.Billing", "{\"broken", "m-9");
            await Task.Delay(TimeSpan.FromSeconds(8));
            await endpoint.Stop();
            Letters.Print(broker, "error");
        }
    }
}
