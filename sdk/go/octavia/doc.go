// Load balancers as code: Octavia's load balancing, stood up by its own resources.
package octavia
