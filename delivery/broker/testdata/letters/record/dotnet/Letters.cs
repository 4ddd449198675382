using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using RabbitMQ.Client;

namespace Shop
{
    static class Letters
    {
        /// <summary>Sends what another producer may: nothing but a body, and an id where there is one.</summary>
        public static void Post(Uri broker, string queue, string body, string id = null)
        {
            using var connection = new ConnectionFactory { Uri = broker }.CreateConnection();
            using var channel = connection.CreateModel();
            var properties = channel.CreateBasicProperties();
            if (id != null)
            {
                properties.MessageId = id;
            }
            channel.BasicPublish("", queue, properties, Encoding.UTF8.GetBytes(body));
        }

        /// <summary>Prints what stands in a queue, a line each, as rabbitmq.json has it, and takes it out.</summary>
        public static void Print(Uri broker, string queue)
        {
            using var connection = new ConnectionFactory { Uri = broker }.CreateConnection();
            using var channel = connection.CreateModel();
            for (var letter = channel.BasicGet(queue, true); letter != null; letter = channel.BasicGet(queue, true))
            {
                var m = letter.BasicProperties;
                var properties = new Dictionary<string, object>
                {
                    ["content_type"] = m.ContentType, ["delivery_mode"] = m.DeliveryMode, ["correlation_id"] = m.CorrelationId,
                    ["reply_to"] = m.ReplyTo, ["message_id"] = m.MessageId, ["type"] = m.Type, ["app_id"] = m.AppId,
                    ["expiration"] = m.Expiration, ["content_encoding"] = m.ContentEncoding,
                };
                var all = new Dictionary<string, object>
                {
                    ["queue"] = queue,
                    ["properties"] = properties.Where(p => p.Value != null).ToDictionary(p => p.Key, p => p.Value),
                    ["headers"] = (m.Headers ?? new Dictionary<string, object>()).ToDictionary(h => h.Key, h => h.Value is byte[] text ? Encoding.UTF8.GetString(text) : h.Value),
                    ["body"] = Encoding.UTF8.GetString(letter.Body.ToArray()),
                };
                Console.WriteLine(JsonSerializer.Serialize(all, new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }));
            }
        }
    }
}
