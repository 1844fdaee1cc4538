// The Go SDK v2 against an SQS server: go run . URL PREFIX. A line for each check; exit 1 if one fails.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

var (
	ctx      = context.Background()
	endpoint = os.Args[1]
	prefix   = os.Args[2]
	config   = aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("x", "x", ""),
	}
	queues  = sqs.NewFromConfig(config)
	topics  = sns.NewFromConfig(config)
	metrics = cloudwatch.NewFromConfig(config)
)

type check struct {
	name string
	run  func()
}

// attempt runs a check: what it panics with is why it fails.
func attempt(one check) (problem string) {
	defer func() {
		if found := recover(); found != nil {
			problem = strings.Join(strings.Fields(fmt.Sprint(found)), " ")
		}
	}()
	one.run()
	return ""
}

func main() {
	failed := false
	for _, one := range append(append(queueChecks, redriveChecks...), serviceChecks...) {
		if problem := attempt(one); problem != "" {
			failed = true
			fmt.Printf("not ok %s: %.300s\n", one.name, problem)
		} else {
			fmt.Println("ok " + one.name)
		}
	}
	if failed {
		os.Exit(1)
	}
}
