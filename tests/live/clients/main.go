// Toxiproxy's own Go client against the server named on the command line.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func reply(address string) (string, time.Duration, error) {
	began := time.Now()
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", 0, err
	}
	defer connection.Close()
	buffer := make([]byte, 5)
	read, err := connection.Read(buffer)
	return string(buffer[:read]), time.Since(began), err
}

func main() {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	go func() {
		for {
			connection, err := upstream.Accept()
			if err != nil {
				return
			}
			connection.Write([]byte("hello"))
		}
	}()
	client := toxiproxy.NewClient(os.Args[1])
	proxy, err := client.CreateProxy("go", "127.0.0.1:0", upstream.Addr().String())
	must(err)
	_, err = proxy.AddToxic("slow", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 120})
	must(err)
	text, taken, err := reply(proxy.Listen)
	must(err)
	if text != "hello" || taken < 119*time.Millisecond {
		log.Fatalf("latency: %q after %s", text, taken)
	}
	toxic, err := proxy.UpdateToxic("slow", 0.5, toxiproxy.Attributes{"latency": 1})
	must(err)
	if toxic.Toxicity != 0.5 {
		log.Fatalf("toxicity %v", toxic.Toxicity)
	}
	must(proxy.RemoveToxic("slow"))
	toxics, err := proxy.Toxics()
	must(err)
	if len(toxics) != 0 {
		log.Fatal("a toxic is left")
	}
	must(proxy.Disable())
	if _, _, err := reply(proxy.Listen); err == nil {
		log.Fatal("disabled, and it answers")
	}
	must(client.ResetState())
	if text, _, err := reply(proxy.Listen); err != nil || text != "hello" {
		log.Fatalf("after the reset: %q, %v", text, err)
	}
	if _, err := client.CreateProxy("go", "127.0.0.1:0", upstream.Addr().String()); err == nil {
		log.Fatal("made twice")
	}
	proxies, err := client.Populate([]toxiproxy.Proxy{
		{Name: "more", Listen: "127.0.0.1:0", Upstream: upstream.Addr().String(), Enabled: true},
	})
	must(err)
	must(proxies[0].Delete())
	must(proxy.Delete())
	if _, err := client.Proxy("go"); err == nil {
		log.Fatal("deleted, and there")
	}
	version, err := client.Version()
	must(err)
	fmt.Printf("go: all well with %s", version)
}
