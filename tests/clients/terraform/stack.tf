# All that terraform-provider-openstack has of the load-balancer service. With the variable "changed" each resource that can be changed is.
terraform {
  required_providers {
    openstack = {
      source = "terraform-provider-openstack/openstack"
    }
  }
}

provider "openstack" {}

provider "openstack" {
  alias     = "admin"
  user_name = var.admin
}

variable "admin" {}
variable "subnet" {}
variable "project" {}
variable "changed" {
  default = false
}

variable "imported" {
  default = false
}

locals {
  word = var.changed ? "two" : "one"
}

resource "openstack_lb_flavorprofile_v2" "small" {
  provider      = openstack.admin
  name          = "small-${local.word}"
  provider_name = "amphora"
  flavor_data   = jsonencode({ loadbalancer_topology = "SINGLE" })
}

resource "openstack_lb_flavor_v2" "small" {
  provider          = openstack.admin
  name              = "small"
  description       = local.word
  flavor_profile_id = openstack_lb_flavorprofile_v2.small.id
}

resource "openstack_lb_quota_v2" "project" {
  provider     = openstack.admin
  project_id   = var.project
  loadbalancer = var.changed ? 20 : 10
  listener     = 50
  pool         = -1
}

resource "openstack_lb_loadbalancer_v2" "web" {
  name           = "web"
  description    = local.word
  vip_subnet_id  = var.subnet
  flavor_id      = openstack_lb_flavor_v2.small.id
  admin_state_up = true
  tags           = ["terraform", local.word]
}

resource "openstack_lb_listener_v2" "http" {
  name                   = "http-${local.word}"
  loadbalancer_id        = openstack_lb_loadbalancer_v2.web.id
  protocol               = "HTTP"
  protocol_port          = 80
  connection_limit       = var.changed ? 200 : 100
  timeout_client_data    = 60000
  timeout_member_connect = 6000
  timeout_member_data    = 60000
  timeout_tcp_inspect    = 0
  allowed_cidrs          = var.changed ? [] : ["192.0.2.0/24", "198.51.100.0/24"]
  insert_headers = {
    X-Forwarded-For = "true"
  }
  tags = [local.word]
}

resource "openstack_lb_pool_v2" "web" {
  name        = "web"
  listener_id = openstack_lb_listener_v2.http.id
  protocol    = "HTTP"
  lb_method   = var.changed ? "LEAST_CONNECTIONS" : "ROUND_ROBIN"
  persistence {
    type        = "APP_COOKIE"
    cookie_name = "session-${local.word}"
  }
}

resource "openstack_lb_pool_v2" "other" {
  name            = "other"
  description     = local.word
  loadbalancer_id = openstack_lb_loadbalancer_v2.web.id
  protocol        = "HTTP"
  lb_method       = "SOURCE_IP"
}

# A policy sends requests to it, so it is shown with that policy's listener, as Octavia shows it: the provider imports it with the listener.
resource "openstack_lb_pool_v2" "api" {
  name            = "api-${local.word}"
  loadbalancer_id = var.imported ? null : openstack_lb_loadbalancer_v2.web.id
  listener_id     = var.imported ? openstack_lb_listener_v2.http.id : null
  protocol        = "HTTP"
  lb_method       = "ROUND_ROBIN"
}

# Members one by one: Terraform creates them in parallel.
resource "openstack_lb_member_v2" "web" {
  count         = 4
  pool_id       = openstack_lb_pool_v2.web.id
  name          = "web-${count.index}"
  address       = "10.1.9.${count.index + 1}"
  protocol_port = 8080
  weight        = var.changed ? 3 : 1
  subnet_id     = var.subnet
  monitor_port  = var.changed ? 8082 : 8081
  backup        = count.index == 3
}

# Members in one call. One leaves, one comes, one changes.
resource "openstack_lb_members_v2" "other" {
  pool_id = openstack_lb_pool_v2.other.id
  dynamic "member" {
    for_each = var.changed ? { "10.1.9.11" = 5, "10.1.9.13" = 1 } : { "10.1.9.11" = 1, "10.1.9.12" = 1 }
    content {
      name          = "other-${member.key}"
      address       = member.key
      protocol_port = 8080
      weight        = member.value
    }
  }
}

resource "openstack_lb_monitor_v2" "web" {
  pool_id          = openstack_lb_pool_v2.web.id
  name             = "web"
  type             = "HTTP"
  delay            = var.changed ? 20 : 10
  timeout          = 5
  max_retries      = 3
  max_retries_down = 2
  url_path         = "/${local.word}"
  http_method      = "HEAD"
  http_version     = "1.1"
  domain_name      = "example.com"
  expected_codes   = "200-204"
}

resource "openstack_lb_monitor_v2" "other" {
  pool_id     = openstack_lb_pool_v2.other.id
  type        = "TCP"
  delay       = 10
  timeout     = 5
  max_retries = 3
}

resource "openstack_lb_l7policy_v2" "api" {
  name             = "api"
  description      = local.word
  listener_id      = openstack_lb_listener_v2.http.id
  action           = "REDIRECT_TO_POOL"
  position         = 1
  redirect_pool_id = openstack_lb_pool_v2.api.id
}

resource "openstack_lb_l7policy_v2" "away" {
  listener_id        = openstack_lb_listener_v2.http.id
  action             = "REDIRECT_PREFIX"
  position           = 2
  redirect_prefix    = "https://${local.word}.example.com"
  redirect_http_code = 308
  depends_on         = [openstack_lb_l7policy_v2.api]
}

resource "openstack_lb_l7rule_v2" "api" {
  l7policy_id  = openstack_lb_l7policy_v2.api.id
  type         = "PATH"
  compare_type = var.changed ? "REGEX" : "STARTS_WITH"
  value        = "/api"
}

resource "openstack_lb_l7rule_v2" "header" {
  l7policy_id  = openstack_lb_l7policy_v2.api.id
  type         = "HEADER"
  compare_type = "EQUAL_TO"
  key          = "X-Version"
  value        = local.word
  invert       = true
}

data "openstack_lb_loadbalancer_v2" "web" {
  loadbalancer_id = openstack_lb_loadbalancer_v2.web.id
}

data "openstack_lb_listener_v2" "http" {
  listener_id = openstack_lb_listener_v2.http.id
}

data "openstack_lb_pool_v2" "web" {
  pool_id = openstack_lb_pool_v2.web.id
}

data "openstack_lb_flavor_v2" "small" {
  flavor_id = openstack_lb_flavor_v2.small.id
}

data "openstack_lb_flavorprofile_v2" "small" {
  provider         = openstack.admin
  flavorprofile_id = openstack_lb_flavorprofile_v2.small.id
}
