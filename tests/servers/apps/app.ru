# For puma: each answer makes some hundreds of objects and gives them back.
require 'json'

run lambda { |_env|
  body = JSON.generate((0...100).map { |number| { number: number, text: number.to_s * 8 } })
  [200, { 'Content-Type' => 'application/json', 'Content-Length' => body.bytesize.to_s }, [body]]
}
